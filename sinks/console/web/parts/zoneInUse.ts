/** Days begin where whoever looks is, unless the address says otherwise. */
import { isZone } from "../pure/zone.ts";

const told = Intl.DateTimeFormat().resolvedOptions().timeZone;
export const browserZone: string = isZone(told) ? told : "UTC";
