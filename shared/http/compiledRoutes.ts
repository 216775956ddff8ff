/** What routes take and give, by compiled schemas, each made with a route's first call. */
import type { FastifySchemaCompiler, FastifySerializerCompiler } from "fastify";
import { InvalidSchemaError, ResponseSerializationError, validatorCompiler } from "fastify-type-provider-zod";
import { z } from "zod";

import { compiled } from "#shared/contracts/compiled.ts";

export const readByCompiled: FastifySchemaCompiler<z.ZodType> = (route) => {
  let read: ReturnType<typeof validatorCompiler> | undefined;
  return (value: unknown) => {
    read ??= validatorCompiler({ ...route, schema: compiled(route.schema) });
    return read(value);
  };
};

/** No schema of an answer turns what it is given into something else, so what holds for reading holds for writing. */
export const writeByCompiled: FastifySerializerCompiler<unknown> = ({ schema: found, method, url }) => {
  const schema = schemaIn(found);
  return (value) => {
    const answer = compiled(schema).safeParse(value);
    if (!answer.success) throw new ResponseSerializationError(method, url, { cause: answer.error });
    return JSON.stringify(answer.data);
  };
};

function schemaIn(found: unknown): z.ZodType {
  const schema = typeof found === "object" && found !== null && "properties" in found ? found.properties : found;
  if (!(schema instanceof z.ZodType)) throw new InvalidSchemaError(JSON.stringify(found));
  return schema;
}
