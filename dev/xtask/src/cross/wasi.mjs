// Runs a WASI program, here a test program: `node wasi.mjs PROGRAM.wasm ARGUMENT…`.
// The program sees its arguments and the standard streams, no files and no environment.
import { readFile } from "node:fs/promises";
import { argv, exit } from "node:process";
import { setFlagsFromString } from "node:v8";
import { WASI } from "node:wasi";

const [, , program, ...rest] = argv;
const bytes = await readFile(program);
if (!WebAssembly.validate(bytes)) {
  // Node 20 knows the relaxed instructions but has to be asked for them.
  setFlagsFromString("--experimental-wasm-relaxed-simd");
}
const wasi = new WASI({ version: "preview1", args: [program, ...rest], returnOnExit: true });
const module = await WebAssembly.compile(bytes);
const instance = await WebAssembly.instantiate(module, wasi.getImportObject());
exit(wasi.start(instance));
