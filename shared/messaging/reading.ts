/**
 * How a long reading asks for messages. What was asked of a consumer's leader is lost with it, without a word: only missing heartbeats tell. The client asks
 * again after two or three of them; its defaults would take 30 s, and as long again where a first look at the consumer fails, as it does during an election.
 */
export const READING = { expires: 5_000, idle_heartbeat: 1_000 } as const;
