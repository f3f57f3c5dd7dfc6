"""Asks the smaller providers through their own Python SDKs and prints what each SDK counted, one JSON line a call.

Proxy, CA and the form of the lines are as in python_sdks.py. A count that the SDK does not know is null.
"""

import json

import cohere
import groq
import ollama
import openai
from mistralai.client import Mistral

QUESTION = [{"role": "user", "content": "The wire tests fail. Why?"}]


def main() -> None:
    ask_mistral(Mistral(api_key="test-key"))
    ask_groq(groq.Groq(api_key="test-key", max_retries=0))
    ask_ollama(ollama.Client(host="https://ollama.com"))
    ask_cohere(cohere.ClientV2(api_key="test-key"))
    ask_openai(openai.OpenAI(api_key="test-key", max_retries=0))


def ask_mistral(client) -> None:
    asked = {"model": "mistral-small-latest", "messages": QUESTION}
    report_chat([client.chat.complete(**asked)], stream=False)
    report_chat([event.data for event in client.chat.stream(**asked)], stream=True)


def ask_groq(client) -> None:
    asked = {"model": "llama-3.3-70b-versatile", "messages": QUESTION}
    report_chat([client.chat.completions.create(**asked)], stream=False)
    report_chat(list(client.chat.completions.create(**asked, stream=True)), stream=True)


def ask_openai(client) -> None:
    """A stream that was not asked for its usage, so that nobody knows it; and embeddings."""
    report_chat(list(client.chat.completions.create(model="gpt-5", messages=QUESTION, stream=True)), stream=True)
    answer = client.embeddings.create(model="text-embedding-3-small", input=["one", "two"])
    line = {"api": "openai.embeddings", "stream": False, "id": None, "model": answer.model, "stop": None}
    line |= {"input": answer.usage.prompt_tokens, "cache_read": None, "output": None}
    show(line | {"tools": [], "text": str(answer.data[1].embedding)})


def report_chat(answers, stream: bool) -> None:
    """OpenAI's form: whole answers hold messages, chunks hold deltas."""
    text, tools, stop, usage = "", [], None, None
    for answer in answers:
        usage = usage_of(answer) or usage
        for choice in answer.choices:
            said = choice.delta if stream else choice.message
            text += said.content or ""
            stop = choice.finish_reason or stop
            tools += [call.function.name for call in said.tool_calls or [] if call.function.name]
    last = answers[-1]
    line = {"api": "openai.chat", "stream": stream, "id": last.id, "model": last.model, "stop": stop}
    line |= {"input": usage and usage.prompt_tokens, "output": usage and usage.completion_tokens}
    line |= {"cache_read": cached(usage)}
    show(line | {"tools": tools, "text": text})


def cached(usage):
    """Some SDKs type the details, others hand on what came."""
    details = getattr(usage, "prompt_tokens_details", None)
    return details["cached_tokens"] if isinstance(details, dict) else getattr(details, "cached_tokens", None)


def usage_of(answer):
    """Groq puts a stream's usage into an object of its own."""
    groqs = getattr(answer, "x_groq", None)
    return getattr(answer, "usage", None) or (groqs and groqs.usage)


def ask_ollama(client) -> None:
    asked = {"model": "qwen3", "messages": QUESTION}
    report_ollama([client.chat(**asked)], stream=False)
    report_ollama(list(client.chat(**asked, stream=True)), stream=True)


def report_ollama(answers, stream: bool) -> None:
    last = answers[-1]
    line = {"api": "ollama.chat", "stream": stream, "id": None, "model": last.model, "stop": last.done_reason}
    line |= {"input": last.prompt_eval_count, "cache_read": None, "output": last.eval_count}
    tools = [call.function.name for answer in answers for call in answer.message.tool_calls or []]
    show(line | {"tools": tools, "text": "".join(answer.message.content or "" for answer in answers)})


def ask_cohere(client) -> None:
    asked = {"model": "command-a-03-2025", "messages": QUESTION}
    whole = client.chat(**asked)
    report_cohere(whole.id, whole.finish_reason, whole.usage, False, [], whole.message.content[0].text)
    response_id, text, tools, end = None, "", [], None
    for event in client.chat_stream(**asked):
        match event.type:
            case "message-start":
                response_id = event.id
            case "content-delta":
                text += event.delta.message.content.text
            case "tool-call-start":
                tools.append(event.delta.message.tool_calls.function.name)
            case "message-end":
                end = event.delta
    report_cohere(response_id, end.finish_reason, end.usage, True, tools, text)


def report_cohere(response_id, stop, usage, stream: bool, tools, text) -> None:
    line = {"api": "cohere.chat", "stream": stream, "id": response_id, "model": None, "stop": stop}
    tokens = usage.tokens  # whole numbers, as floats
    line |= {"input": int(tokens.input_tokens), "output": int(tokens.output_tokens)}
    show(line | {"cache_read": int(usage.cached_tokens), "tools": tools, "text": text})


def show(line: dict) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
