// Asks every model API through the official Node SDKs and prints what each SDK counted, one JSON line a call.
//
// Node's fetch knows no proxy by itself, so the way is chosen here. VIA=connect uses undici's EnvHttpProxyAgent and
// HTTPS_PROXY; VIA=transparent connects every name to TOLLGATE_ADDRESS with its own SNI, as a redirected guest does.
// The proxy's CA comes from NODE_EXTRA_CA_CERTS. Counts are normalised as in python_sdks.py.

import Anthropic from "@anthropic-ai/sdk";
import { GoogleGenAI } from "@google/genai";
import OpenAI from "openai";
import { Agent, EnvHttpProxyAgent, buildConnector, fetch as undiciFetch, setGlobalDispatcher } from "undici";

const question = [{ role: "user", content: "The wire tests fail. Why?" }];
const dispatcher = process.env.VIA === "connect" ? new EnvHttpProxyAgent() : redirected(process.env.TOLLGATE_ADDRESS);
setGlobalDispatcher(dispatcher); // @google/genai takes no fetch of ours
const options = {
  apiKey: "test-key",
  maxRetries: 0,
  fetch: (url, init) => undiciFetch(url, { ...init, dispatcher }),
};
const claude = new Anthropic(options);
const gpt = new OpenAI(options);
const { models: gemini } = new GoogleGenAI({ apiKey: "test-key" });

await messages();
await chat();
await responses();
await generate();
await dispatcher.close();

async function messages() {
  const asked = { model: "claude-haiku-4-5", max_tokens: 64, messages: question };
  const whole = await claude.messages.create(asked);
  showMessage(whole, false, whole.content[0].text);
  let text = "";
  const stream = claude.messages.stream(asked).on("text", (delta) => (text += delta));
  showMessage(await stream.finalMessage(), true, text);
}

async function chat() {
  const asked = { model: "gpt-5", messages: question };
  const whole = await gpt.chat.completions.create(asked);
  const [choice] = whole.choices;
  showChat(whole, whole.usage, choice.finish_reason, false, [], choice.message.content);
  const seen = { text: "", tools: [], stop: null, usage: null, last: null };
  for await (const chunk of await gpt.chat.completions.create({
    ...asked,
    stream: true,
    stream_options: { include_usage: true },
  })) {
    seen.last = chunk;
    seen.usage = chunk.usage ?? seen.usage;
    for (const { delta, finish_reason } of chunk.choices) {
      seen.text += delta.content ?? "";
      seen.stop = finish_reason ?? seen.stop;
      seen.tools.push(...(delta.tool_calls ?? []).flatMap((call) => call.function.name ?? []));
    }
  }
  showChat(seen.last, seen.usage, seen.stop, true, seen.tools, seen.text);
}

async function responses() {
  showResponse(await gpt.responses.create({ model: "gpt-5", input: "Count to a thousand." }), false);
  const stream = gpt.responses.stream({ model: "gpt-5", input: "The wire tests fail. Why?" });
  showResponse(await stream.finalResponse(), true);
}

async function generate() {
  const asked = { model: "gemini-2.5-pro", contents: "The wire tests fail. Why?" };
  showGemini([await gemini.generateContent(asked)], false);
  const answers = [];
  for await (const answer of await gemini.generateContentStream(asked)) answers.push(answer);
  showGemini(answers, true);
}

function showMessage({ id, model, stop_reason: stop, usage, content }, stream, text) {
  const cache_read = usage.cache_read_input_tokens ?? 0;
  const input = usage.input_tokens + (usage.cache_creation_input_tokens ?? 0) + cache_read;
  const tools = content.filter((block) => block.type === "tool_use").map((block) => block.name);
  show({ api: "anthropic.messages", stream, model, stop, input, cache_read, output: usage.output_tokens, id, tools, text });
}

function showChat({ id, model }, usage, stop, stream, tools, text) {
  const cache_read = usage.prompt_tokens_details.cached_tokens;
  const { prompt_tokens: input, completion_tokens: output } = usage;
  show({ api: "openai.chat", stream, model, stop, input, cache_read, output, id, tools, text });
}

function showResponse({ id, model, status, incomplete_details, usage, output, output_text: text }, stream) {
  const tools = output.filter((item) => item.type === "function_call").map((item) => item.name);
  const stop = incomplete_details?.reason ?? status;
  const cache_read = usage.input_tokens_details.cached_tokens;
  const { input_tokens: input, output_tokens } = usage;
  show({ api: "openai.responses", stream, model, stop, input, cache_read, output: output_tokens, id, tools, text });
}

function showGemini(answers, stream) {
  const { responseId: id, modelVersion: model, candidates, usageMetadata: usage } = answers.at(-1);
  const parts = answers.flatMap((answer) => answer.candidates[0].content.parts);
  const cache_read = usage.cachedContentTokenCount ?? null;
  const input = usage.promptTokenCount + (usage.toolUsePromptTokenCount ?? 0);
  const output = usage.candidatesTokenCount + (usage.thoughtsTokenCount ?? 0);
  const tools = parts.flatMap((part) => part.functionCall?.name ?? []);
  const text = parts.map((part) => part.text ?? "").join("");
  const stop = candidates[0].finishReason;
  show({ api: "google.generate", stream, model, stop, input, cache_read, output, id, tools, text });
}

function show(line) {
  console.log(JSON.stringify(line));
}

/** Connects to `address` whatever the host, and names the host in SNI. */
function redirected(address) {
  const [hostname, port] = address.split(":");
  const connect = buildConnector({});
  return new Agent({
    connect: (asked, done) => connect({ ...asked, hostname, host: hostname, port, servername: asked.servername || asked.hostname }, done),
  });
}
