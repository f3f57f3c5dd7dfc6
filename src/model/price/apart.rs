//! Tokens with a price of their own, which the table does not have: sound, pictures, a cache that is kept for half a day.
//! A call that has some is not priced as if they were text.

use serde_json::Value;

/// Whether a provider's usage object counts any token of the kinds that `words` name: as `…{word}_tokens`, or beside
/// `"modality": "{WORD}"`.
pub(super) fn counts_any(words: &[String], usage_json: Option<&str>) -> bool {
    let Some(usage) = usage_json.filter(|_| !words.is_empty()) else { return false };
    serde_json::from_str(usage).is_ok_and(|usage| says(words, &usage))
}

fn says(words: &[String], value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| says(words, item)),
        Value::Object(members) => {
            let modality = members.get("modality").and_then(Value::as_str).unwrap_or_default();
            let all = words.iter().any(|word| word.eq_ignore_ascii_case(modality));
            members.iter().any(|(key, value)| {
                let stem = key.strip_suffix("_tokens").unwrap_or_default();
                let one = words.iter().any(|word| stem.ends_with(word.as_str()));
                ((all || one) && is_some(value)) || says(words, value)
            })
        }
        _ => false,
    }
}

fn is_some(value: &Value) -> bool {
    value.as_f64().is_some_and(|count| count > 0.0)
}

#[cfg(test)]
mod tests {
    use super::counts_any;

    #[test]
    fn tokens_are_found_under_every_providers_names() {
        let words = ["audio".to_owned(), "ttl_12h".to_owned()];
        let cases = [
            (r#"{"prompt_tokens":5,"prompt_tokens_details":{"audio_tokens":0,"image_tokens":3}}"#, false),
            (r#"{"prompt_tokens_details":{"cached_tokens":1,"audio_tokens":2}}"#, true),
            (r#"{"input_token_details":{"cached_tokens_details":{"audio_tokens":1}}}"#, true),
            (r#"{"promptTokensDetails":[{"modality":"TEXT","tokenCount":9}]}"#, false),
            (
                r#"{"promptTokensDetails":[{"modality":"TEXT","tokenCount":9},{"modality":"AUDIO","tokenCount":1}]}"#,
                true,
            ),
            (r#"{"promptTokensDetails":[{"modality":"AUDIO","tokenCount":0}]}"#, false),
            (r#"{"input_tokens_by_modality":[{"modality":"audio","tokens":4}]}"#, true),
            (r#"{"cache_write_tokens_details":{"ttl_30m_tokens":8,"ttl_12h_tokens":0}}"#, false),
            (r#"{"cache_write_tokens_details":{"ttl_30m_tokens":0,"ttl_12h_tokens":8}}"#, true),
            ("{", false),
        ];
        for (usage, expected) in cases {
            assert_eq!(counts_any(&words, Some(usage)), expected, "{usage}");
            assert!(!counts_any(&[], Some(usage)) && !counts_any(&words, None));
        }
    }
}
