import type { FastifyInstance } from "fastify";

import { badRequest } from "#shared/contracts/describeIssues.ts";
import type { AssignedArm } from "#shared/contracts/experimentArm.ts";
import { AppError, ERROR_CODES } from "#shared/contracts/errors.ts";
import { DIRECT_ORIGIN } from "#shared/contracts/ids.ts";
import { InferBody, toRequest, unknownName } from "#shared/contracts/request.ts";
import { fileFor } from "#shared/contracts/tiers.ts";
import { armFor } from "#shared/experiments/armFor.ts";
import { fingerprintOf, type RequestLimits } from "#shared/messaging/readRequest.ts";
import { baselineOf } from "#shared/saga/closings.ts";
import { newSaga } from "#shared/saga/inferenceMachine.ts";

import { decide, type Known } from "./decide.ts";
import type { RouterDeps } from "./routeEvent.ts";

/** `POST /decide`: what would be done with this request now, and why, without doing it. Body as for `POST /infer`. Exploration is drawn by the id, so without a `request_id` nothing is explored. */
export function addDecideRoute(app: FastifyInstance, limits: RequestLimits, known: (arm?: AssignedArm) => Omit<Known, "file" | "counted">, countTokens: RouterDeps["countTokens"]): void {
  app.post("/decide", (request, reply) => {
    try {
      return { decision: explain(request.body, limits, known, countTokens) };
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      return reply.code(ERROR_CODES[error.code].httpStatus).send({ error: { code: error.code, message: error.publicMessage } });
    }
  });
}

function explain(value: unknown, limits: RequestLimits, known: (arm?: AssignedArm) => Omit<Known, "file" | "counted">, countTokens: RouterDeps["countTokens"]) {
  const body = InferBody.safeParse(value);
  if (!body.success) throw badRequest(body.error);
  const problem = unknownName(body.data, limits.tierFile);
  if (problem !== null) throw new AppError("invalid_request", problem);
  const { tenant_id = "undecided", request_id = "undecided" } = body.data;
  const { defaultDeadlineMs, maxDeadlineMs, tierFile } = limits;
  const { nowMs: acceptedAtMs } = known();
  const arm = armFor(limits.experiment?.() ?? null, { tenant_id, request_id }, body.data, acceptedAtMs);
  const defaults = { acceptedAtMs, arm, defaultDeadlineMs, maxDeadlineMs, defaultPolicy: tierFile.default_policy, fingerprint: fingerprintOf(body.data) };
  const request = toRequest({ tenant_id, request_id }, { ...body.data, origin: DIRECT_ORIGIN }, defaults);
  const facts = known(request.experiment);
  const exploration = body.data.request_id === undefined ? { ...facts.exploration, share: 0 } : facts.exploration;
  return decide(request, newSaga(baselineOf(tierFile)).context, { ...facts, nowMs: acceptedAtMs, exploration, file: tierFile, counted: countTokens(fileFor(tierFile, request), request.input) });
}
