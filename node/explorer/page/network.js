// Network: this node in the middle, and every link that it has.
import { fill, h } from "./dom.js";
import { heading } from "./parts.js";
export const title = () => "Network";
export const show = (main) => fill(main, heading("Network"));
