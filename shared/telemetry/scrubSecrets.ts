/** What looks like a secret, wherever it stands in a text. The last net: nothing that may hold one is logged on purpose. Pure. */

/** One pass for all. Of each the part that says what it was is kept. */
const SECRET = new RegExp([
  String.raw`(?<apiKey>\bcao_[a-z0-9]{1,12}_?)[\w-]{8,}`, // ours: the key's id stays
  String.raw`(?<provider>\bsk-)[\w-]{6,}`, // OpenAI, Anthropic and many that followed
  String.raw`(?<google>\bAIza)[\w-]{20,}`,
  String.raw`(?<webhook>\bwhsec_)[A-Za-z0-9+/=]{8,}`,
  String.raw`(?<bearer>\bBearer\s+)[^\s"\\,]+`,
  String.raw`(?<nats>\bS[UAO])[A-Z2-7]{56}\b`, // seeds of users, accounts and operators
  String.raw`(?<user>://)[^\s/"\\@]+(?=@)`,
  String.raw`(?<parameter>[?&](?:api[-_]?key|key|token|access_token|sig|signature|password|secret)=)[^\s&"\\]+`,
].join("|"), "gi");

export const scrubSecrets = (text: string): string => text.replace(SECRET, (...found) => `${Object.values(found.at(-1) as Record<string, string | undefined>).find((kept) => kept !== undefined) ?? ""}***`);
