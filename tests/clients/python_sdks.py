"""Asks every model API through the official Python SDKs and prints what each SDK counted, one JSON line a call.

The proxy and its CA come from the environment (HTTPS_PROXY, SSL_CERT_FILE), as they do for any program. The counts
are the SDK's own usage, normalised as the ledger does it: input with cache reads and writes, output with reasoning.
"""

import json

import anthropic
import openai
from google import genai

QUESTION = [{"role": "user", "content": "The wire tests fail. Why?"}]


def main() -> None:
    claude = anthropic.Anthropic(api_key="test-key", max_retries=0)
    gpt = openai.OpenAI(api_key="test-key", max_retries=0)

    asked = {"model": "claude-haiku-4-5", "max_tokens": 64, "messages": QUESTION}
    report_message(claude.messages.create(**asked), stream=False)
    with claude.messages.stream(**asked) as stream:
        text = "".join(stream.text_stream)
        report_message(stream.get_final_message(), stream=True, text=text)

    report_chat(gpt.chat.completions.create(model="gpt-5", messages=QUESTION))
    report_chat_stream(
        gpt.chat.completions.create(
            model="gpt-5", messages=QUESTION, stream=True, stream_options={"include_usage": True}
        )
    )

    report_response(gpt.responses.create(model="gpt-5", input="Count to a thousand."), stream=False)
    with gpt.responses.stream(model="gpt-5", input="The wire tests fail. Why?") as stream:
        for _ in stream:
            pass
        report_response(stream.get_final_response(), stream=True)

    client = genai.Client(api_key="test-key", http_options={"api_version": "v1beta"})
    gemini = client.models
    asked = {"model": "gemini-2.5-pro", "contents": "The wire tests fail. Why?"}
    report_gemini([gemini.generate_content(**asked)], stream=False)
    report_gemini(list(gemini.generate_content_stream(**asked)), stream=True)


def report_message(message, stream: bool, text: str | None = None) -> None:
    usage = message.usage
    tools = [block.name for block in message.content if block.type == "tool_use"]
    written = usage.cache_creation_input_tokens or 0
    read = usage.cache_read_input_tokens or 0
    line = {"api": "anthropic.messages", "stream": stream, "model": message.model, "stop": message.stop_reason}
    line |= {"input": usage.input_tokens + written + read, "cache_read": read, "output": usage.output_tokens}
    said = text if text is not None else message.content[0].text
    show(line | {"id": message.id, "tools": tools, "text": said})


def report_chat(completion) -> None:
    choice = completion.choices[0]
    show(chat_line(completion.usage, completion, choice.finish_reason, False, [], choice.message.content))


def report_chat_stream(chunks) -> None:
    text, tools, stop, usage, last = "", [], None, None, None
    for chunk in chunks:
        last = chunk
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            stop = choice.finish_reason or stop
            tools += [call.function.name for call in choice.delta.tool_calls or [] if call.function.name]
    show(chat_line(usage, last, stop, True, tools, text))


def chat_line(usage, answer, stop, stream, tools, text) -> dict:
    line = {"api": "openai.chat", "stream": stream, "model": answer.model, "stop": stop, "id": answer.id}
    read = usage.prompt_tokens_details.cached_tokens
    line |= {"input": usage.prompt_tokens, "cache_read": read, "output": usage.completion_tokens}
    return line | {"tools": tools, "text": text}


def report_response(response, stream: bool) -> None:
    usage = response.usage
    tools = [item.name for item in response.output if item.type == "function_call"]
    stop = response.incomplete_details.reason if response.incomplete_details else response.status
    line = {"api": "openai.responses", "stream": stream, "model": response.model, "stop": stop}
    read = usage.input_tokens_details.cached_tokens
    line |= {"input": usage.input_tokens, "cache_read": read, "output": usage.output_tokens}
    show(line | {"id": response.id, "tools": tools, "text": response.output_text})


def report_gemini(answers, stream: bool) -> None:
    last, usage = answers[-1], answers[-1].usage_metadata
    parts = [part for answer in answers for part in answer.candidates[0].content.parts]
    line = {"api": "google.generate", "stream": stream, "id": last.response_id, "model": last.model_version}
    line |= {"stop": last.candidates[0].finish_reason.value, "cache_read": usage.cached_content_token_count}
    line |= {"input": usage.prompt_token_count + (usage.tool_use_prompt_token_count or 0)}
    line |= {"output": usage.candidates_token_count + (usage.thoughts_token_count or 0)}
    tools = [part.function_call.name for part in parts if part.function_call]
    show(line | {"tools": tools, "text": "".join(part.text or "" for part in parts)})


def show(line: dict) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
