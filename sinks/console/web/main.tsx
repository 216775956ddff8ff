import { render } from "preact";

import { App } from "./app.tsx";
import { follow } from "./parts/live.ts";
import { followLink } from "./parts/navigation.ts";

document.addEventListener("click", followLink);
const root = document.getElementById("root");
if (root === null) throw new Error("the page has no #root");
render(<App />, root);
follow();
