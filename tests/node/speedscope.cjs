// What Speedscope makes of a file, by its own importer. Its npm package offers no library but holds the program alone,
// which names what its importer exports when it defines it: there it is taken.
//
//   node speedscope.cjs PROGRAM FILE

"use strict";

const fs = require("node:fs");
const path = require("node:path");
const vm = require("node:vm");

const [program, file] = process.argv.slice(2);

// Stands for the browser that the program draws in.
const anything = new Proxy(function () {}, {
  get: (_, name) => (name === Symbol.toPrimitive ? () => "" : name === "then" ? undefined : anything),
  set: () => true,
  apply: () => anything,
  construct: () => anything,
});
globalThis.window = { location: { protocol: "file:", hash: "" }, addEventListener() {} };
globalThis.document = anything;

let importer;
const define = Object.defineProperty;
Object.defineProperty = (object, name, property) => {
  if (name === "importProfilesFromArrayBuffer") importer = object;
  return define(object, name, property);
};
const log = console.log;
console.log = () => {};
let failed;
try {
  vm.runInThisContext(fs.readFileSync(program, "utf8"), { filename: "speedscope.js" });
} catch (error) {
  // What draws may fail here, once the importer is there.
  failed = error;
}
Object.defineProperty = define;

// The importer is made ready in the next turn.
setTimeout(async () => {
  try {
    const bytes = fs.readFileSync(file);
    const copy = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
    const group = await importer.importProfilesFromArrayBuffer(path.basename(file), copy);
    const profiles = group.profiles.map((profile) => {
      const frames = [];
      profile.forEachFrame((frame) => {
        const { name, file, line } = frame;
        frames.push({ name, file, line, own: frame.getSelfWeight(), total: frame.getTotalWeight() });
      });
      return {
        name: profile.getName(),
        unit: profile.getWeightUnit(),
        total: profile.getTotalWeight(),
        frames,
      };
    });
    log(JSON.stringify(profiles));
  } catch (error) {
    console.error(`${error.message}; before that ${failed?.message}`);
    process.exit(1);
  }
}, 0);
