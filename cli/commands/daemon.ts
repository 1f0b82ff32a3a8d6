/** `mainmode daemon`: run in the foreground. */
export { type RunOptions, runDaemon } from "../../daemon/main.ts";
