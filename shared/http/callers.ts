/** Who calls, and for which tenant. Every route of the API names the role that it takes; one that names none serves nobody. */
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { Logger } from "pino";

import { KEYLESS, type KeyRole, type Principal } from "#shared/contracts/apiKey.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { type Directory, followStandings, type Standing } from "#shared/tenancy/directory.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** Of whoever calls; set before the body is read. */
    principal: Principal;
  }
  interface FastifyContextConfig {
    /** One of what a key must be allowed. */
    role?: KeyRole | readonly KeyRole[];
    /** Its body may be long, and take minutes to arrive. */
    isUpload?: boolean;
  }
}

/** A caller with the tenant that is asked for, and what holds for it. */
export interface Caller {
  readonly tenant_id: string;
  readonly principal: Principal;
  readonly standing: Standing;
}
export interface Callers {
  /** Before anything else of every route below. Throws `unauthenticated`, `forbidden`, or `database_unavailable` for a key that nobody here has seen yet. */
  guard(app: FastifyInstance): void;
  /**
   * `named`: the tenant that the call says; `fallback`: where nobody says one. Throws `invalid_request` without any,
   * `tenant_mismatch`, `tenant_suspended`, and `not_found` for one that was never made.
   */
  callerOf(request: Pick<FastifyRequest, "principal">, named: string | undefined, fallback?: string): Promise<Caller>;
}

/** Whose requests a caller may see: `null` for any tenant's. Another tenant's are as if they were not there. */
export function tenantToSee({ tenant_id }: Principal, named: string | undefined): string | null {
  if (tenant_id !== null && named !== undefined && named !== tenant_id) throw new AppError("not_found", "there is no such request");
  return tenant_id ?? named ?? null;
}

export interface CallersDeps {
  readonly directory: Directory;
  /** Nobody is asked for a key: only this machine reaches the service. */
  readonly isKeyless: boolean;
  readonly log: Logger;
}
export function makeCallers({ directory, isKeyless, log }: CallersDeps): Callers {
  const standingOf = followStandings(directory, { isKeyless, log });
  async function principalOf({ headers }: FastifyRequest): Promise<Principal> {
    if (isKeyless) return KEYLESS;
    const key = /^Bearer ([\x21-\x7e]+)$/i.exec(headers.authorization ?? "")?.[1];
    const holder = key === undefined ? null : await directory.holderOf(key);
    if (holder === null) throw new AppError("unauthenticated", key === undefined ? "send your API key as `Authorization: Bearer <key>`" : "the API key is not valid, or no longer");
    return holder;
  }

  return {
    guard(app) {
      app.decorateRequest("principal");
      app.addHook("onRequest", async (request, reply) => {
        const { role } = request.routeOptions.config;
        request.principal = await principalOf(request).catch((error: unknown) => {
          if (error instanceof AppError && error.code === "unauthenticated") void reply.header("www-authenticate", "Bearer");
          throw error;
        });
        if (request.is404) return; // answered as such, to those who may call at all
        const roles = [role ?? []].flat();
        if (!roles.some((one) => request.principal.roles.has(one))) throw new AppError("forbidden", `this needs a key with the role ${roles.join(" or ") || "that nobody has"}`);
      });
    },
    async callerOf({ principal }, named, fallback) {
      const tenant_id = principal.tenant_id ?? named ?? fallback;
      if (tenant_id === undefined) throw new AppError("invalid_request", "tenant_id: say which tenant it is for");
      if (named !== undefined && named !== tenant_id) throw new AppError("tenant_mismatch", "the API key is of another tenant");
      const standing = await standingOf(tenant_id);
      if (standing.status === "suspended") throw new AppError("tenant_suspended", `tenant ${tenant_id} is suspended`);
      return { tenant_id, principal, standing };
    },
  };
}
