use super::*;
use proptest::prelude::*;

fn read(api: Api, body: &[u8], size: usize) -> RequestFacts {
    let mut reader = RequestReader::of(api, None, None);
    let off = body.chunks(size).find_map(|piece| reader.push(piece).err());
    reader.end(off.map(|error| error.to_string()))
}

fn results(facts: &RequestFacts) -> Vec<String> {
    let text = |text: &Option<String>| text.as_deref().unwrap_or("-").to_owned();
    let line =
        |result: &ToolResult| format!("{} {:?} {}", text(&result.id), result.is_error, text(&result.preview));
    facts.tool_results.iter().map(line).collect()
}

/// api, body, (model, stream, messages, tools, system), trailing results
type Row = (Api, &'static str, (Option<&'static str>, bool, Option<u64>, u64, u64), &'static [&'static str]);

const ROWS: &[Row] = &[
    (
        Api::AnthropicMessages,
        r#"{"model":"claude","stream":true,"system":[{"type":"text","text":"h\u00e9"},{"type":"text","text":"y"}],"tools":[{"name":"a","input_schema":{"properties":{"model":{}}}},{"type":"web_search","name":"w"}],
           "messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"old","content":"x"}]},{"role":"assistant","content":[{"type":"tool_use","id":"t1"}]},
           {"content":[{"type":"tool_result","tool_use_id":"t1","is_error":true,"content":[{"type":"text","text":"boom"}]},{"content":"fine","tool_use_id":"t2","type":"tool_result"},{"type":"text","text":"go on"}],"role":"user"}]}"#,
        (Some("claude"), true, Some(3), 2, 4),
        &["t1 Some(true) boom", "t2 None fine"],
    ),
    (
        Api::AnthropicMessages,
        r#"{"model":"claude","system":"be brief","messages":[{"role":"user","content":"hi"}]}"#,
        (Some("claude"), false, Some(1), 0, 8),
        &[],
    ),
    (
        Api::OpenAiChat,
        r#"{"messages":[{"role":"system","content":"abc"},{"content":[{"type":"text","text":"de"}],"role":"developer"},{"role":"user","content":"q"},{"role":"assistant","tool_calls":[{"id":"c1"}]},{"role":"tool","tool_call_id":"c1","content":"42"}],"model":"gpt","stream":false,"stream_options":{"include_usage":true},"tools":[{}]}"#,
        (Some("gpt"), false, Some(5), 1, 5),
        &["c1 None 42"],
    ),
    (
        Api::OpenAiChat,
        r#"{"model":"gpt","messages":[{"role":"tool","tool_call_id":"old","content":"1"},{"role":"assistant","content":"done"},{"role":"user","content":"next"}]}"#,
        (Some("gpt"), false, Some(3), 0, 0),
        &[],
    ),
    (
        Api::OpenAiResponses,
        r#"{"model":"gpt","instructions":"12345","stream":true,"input":[{"type":"function_call_output","call_id":"old","output":"x"},{"type":"function_call","call_id":"c"},{"type":"function_call_output","call_id":"c","output":"r"},{"type":"custom_tool_call_output","call_id":"d","output":[{"type":"input_text","text":"s"}]}],"tools":[{"type":"function","name":"f"}]}"#,
        (Some("gpt"), true, Some(4), 1, 5),
        &["c None r", "d None s"],
    ),
    (
        Api::OpenAiResponses,
        r#"{"input":"just a string","model":"gpt"}"#,
        (Some("gpt"), false, Some(1), 0, 0),
        &[],
    ),
    (
        Api::GoogleGenerate,
        r#"{"contents":[{"role":"user","parts":[{"text":"a"}]},{"role":"model","parts":[{"functionCall":{"name":"f"}}]},{"role":"user","parts":[{"functionResponse":{"id":"i","name":"f","response":{"result": 7}}}]}],"systemInstruction":{"parts":[{"text":"sys"}]},"tools":[{"functionDeclarations":[{"name":"f"},{"name":"g"}]},{"googleSearch":{}}]}"#,
        (None, false, Some(3), 3, 3),
        &[r#"i None {"result": 7}"#],
    ),
    (
        Api::GoogleGenerate,
        r#"{"model":"gemini","project":"p","request":{"contents":[{"role":"user","parts":[]}],"systemInstruction":{"role":"user","parts":[{"text":"ab"}]}}}"#,
        (Some("gemini"), false, Some(1), 0, 2),
        &[],
    ),
    (
        Api::OllamaChat,
        r#"{"model":"qwen","messages":[{"role":"user","content":"x"},{"role":"tool","tool_name":"f","content":"y"}]}"#,
        (Some("qwen"), true, Some(2), 0, 0),
        &["f None y"],
    ),
    (
        Api::BedrockConverse,
        r#"{"system":[{"text":"sys"}],"toolConfig":{"tools":[{"toolSpec":{}}]},"messages":[{"role":"user","content":[{"toolResult":{"toolUseId":"t","status":"error","content":[{"text":"no"}]}}]}]}"#,
        (None, false, Some(1), 1, 3),
        &["t Some(true) no"],
    ),
    (
        Api::MistralConversations,
        r#"{"model":"mistral-medium","inputs":[{"type":"function.result","tool_call_id":"old","result":"1"},{"type":"message.output","content":"a"},{"type":"function.call","tool_call_id":"t","name":"f","arguments":"{}"},{"type":"function.result","tool_call_id":"t","result":"42"}],"stream":true,"instructions":"ab"}"#,
        (Some("mistral-medium"), true, Some(4), 0, 2),
        &["t None 42"],
    ),
    (
        Api::GoogleInteractions,
        r#"{"agent":"deep-research","input":[{"type":"function_call","id":"c","name":"f"},{"type":"function_result","call_id":"c","name":"f","is_error":true,"result":[{"type":"text","text":"no"}]}],"system_instruction":"abc"}"#,
        (Some("deep-research"), false, Some(2), 0, 3),
        &["c Some(true) no"],
    ),
    (
        Api::CohereChat,
        r#"{"model":"command-a","messages":[{"role":"assistant","tool_calls":[{"id":"t"}]},{"role":"tool","tool_call_id":"t","content":[{"type":"document","document":{"data":"x"}}]}],"tools":[{},{}]}"#,
        (Some("command-a"), false, Some(2), 2, 0),
        &["t None -"],
    ),
    (
        Api::GoogleGenerate,
        r#"{"contents":[{"role":"model","parts":[]},{"role":"user","parts":[{"function_response":{"name":"f","response":{"a":1}}}]}],"system_instruction":{"parts":[{"text":"s"}]},"tools":[{"function_declarations":[{}]}]}"#,
        (None, false, Some(2), 1, 1),
        &[r#"- None {"a":1}"#],
    ),
    (Api::OpenAiEmbeddings, r#"{"model":"e","input":["a","b","c"]}"#, (Some("e"), false, Some(3), 0, 0), &[]),
];

#[test]
fn every_format_is_read_whole_and_cut() {
    for (api, body, expected, trailing) in ROWS {
        for size in [1, 3, body.len()] {
            let facts = read(*api, body.as_bytes(), size);
            assert_eq!(facts.off, None, "{body}");
            let found = (
                facts.model.as_deref(),
                facts.stream == Some(true),
                facts.messages_count,
                facts.tools_count.unwrap_or(99),
                facts.system_bytes.unwrap_or(99),
            );
            assert_eq!(found, *expected, "{body}");
            assert_eq!(results(&facts), *trailing, "{body}");
        }
    }
}

#[test]
fn lesson_15_a_long_request_is_read_to_its_end() {
    let filler = "lorem ipsum ".repeat(200_000);
    let body = format!(
        r#"{{"messages":[{{"role":"user","content":"{filler}"}},{{"role":"tool","tool_call_id":"c","content":"end"}}],"model":"m"}}"#
    );
    let facts = read(Api::OpenAiChat, body.as_bytes(), 16 << 10);
    assert_eq!((facts.model.as_deref(), results(&facts)), (Some("m"), vec!["c None end".to_owned()]));
}

#[test]
fn a_request_that_is_cut_short_claims_nothing_it_did_not_see() {
    let body = br#"{"model":"m","stream":true,"messages":[{"role":"user","content":"x"}"#;
    let facts = read(Api::OpenAiChat, body, body.len());
    assert_eq!((facts.model.as_deref(), facts.stream), (Some("m"), Some(true)));
    assert_eq!((facts.messages_count, facts.tools_count, facts.system_bytes), (None, None, None));
    assert_eq!(facts.off.as_deref(), Some("JSON document cut short"));
}

#[test]
fn a_warm_up_says_that_nothing_is_generated() {
    let facts =
        read(Api::OpenAiResponses, br#"{"type":"response.create","generate":false,"stream_id":"s1"}"#, 4);
    assert_eq!(
        (facts.generate, facts.kind.as_deref(), facts.lane.as_deref()),
        (Some(false), Some("response.create"), Some("s1"))
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_cut_gives_the_same(which in 0..ROWS.len(), size in 1usize..90, length in any::<prop::sample::Index>()) {
        let (api, body, _, _) = ROWS[which];
        let body = &body.as_bytes()[..length.index(body.len() + 1)];
        prop_assert_eq!(read(api, body, size), read(api, body, body.len().max(1)));
    }
}
