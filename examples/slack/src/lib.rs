//! Makes a Slack message of a request's end, so that a consumer's `webhook_url` can be one of Slack's own incoming webhooks.

use ripost_sdk::Json;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What is shown of a result; Slack takes 3000 characters in one block.
const RESULT_CHARS_MAX: usize = 1_000;

/// Of the gateway's payload, what the message tells.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    request_id: String,
    api: String,
    status: String,
    result: Option<Value>,
    error: Option<Problem>,
    #[serde(default)]
    links: Links,
    settlement: Option<Settlement>,
}

#[derive(Deserialize)]
struct Problem {
    title: String,
    detail: Option<String>,
}

#[derive(Default, Deserialize)]
struct Links {
    #[serde(rename = "self")]
    request: Option<String>,
}

#[derive(Deserialize)]
struct Settlement {
    price_usdc: String,
}

/// An incoming webhook's message: `text` for notifications, `blocks` for the channel.
#[derive(Debug, PartialEq, Serialize)]
struct Message {
    text: String,
    blocks: Vec<Block>,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Block {
    Section { text: Text },
    Context { elements: Vec<Text> },
}

/// Text in Slack's own markup.
#[derive(Debug, PartialEq, Serialize)]
struct Text {
    r#type: &'static str,
    text: String,
}

impl Text {
    fn of(text: String) -> Self {
        Self { r#type: "mrkdwn", text }
    }
}

#[ripost_sdk::webhook_transform]
fn slack(Json(payload): Json<Payload>) -> Json<Message> {
    let (api, status) = (escaped(&payload.api), escaped(&payload.status));
    let mut headline = format!("*{api}*: {status}");
    if let Some(Problem { title, detail }) = &payload.error {
        headline = format!("{headline}, {}", escaped(title));
        if let Some(detail) = detail {
            headline = format!("{headline} ({})", escaped(detail));
        }
    }
    let mut blocks = vec![Block::Section { text: Text::of(headline) }];
    if let Some(result) = &payload.result {
        blocks.push(Block::Section { text: Text::of(format!("```{}```", shown(result))) });
    }
    blocks.push(Block::Context { elements: facts(&payload) });
    Json(Message { text: format!("{api}: {status}"), blocks })
}

fn facts(payload: &Payload) -> Vec<Text> {
    let id = escaped(&payload.request_id);
    let request = match &payload.links.request {
        Some(link) => format!("<{}|{id}>", escaped(link)),
        None => id,
    };
    let price = payload.settlement.as_ref().map(|Settlement { price_usdc }| format!("{} USDC", escaped(price_usdc)));
    [Some(request), price].into_iter().flatten().map(Text::of).collect()
}

fn shown(result: &Value) -> String {
    let text = result.to_string();
    let mut shown: String = text.chars().take(RESULT_CHARS_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    // Three of them would end the block.
    escaped(&shown).replace("```", "'''")
}

/// The three characters that mean something to Slack.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use ripost_sdk::Json;
    use serde_json::{Value, json};

    use super::slack;

    fn message(payload: Value) -> Value {
        let Json(message) = slack(Json(serde_json::from_value(payload).unwrap()));
        serde_json::to_value(message).unwrap()
    }

    #[test]
    fn a_completed_request_is_a_message_with_its_result_its_link_and_its_price() {
        let message = message(json!({
            "requestId": "req_1", "api": "demo/reports", "status": "completed", "result": { "records": 3 },
            "links": { "self": "https://ripost.example/requests/req_1", "result": "…" },
            "settlement": { "price_usdc": "0.050000", "state": "captured" }, "createdAt": "2026-01-01T00:00:00Z",
        }));
        assert_eq!(
            message,
            json!({
                "text": "demo/reports: completed",
                "blocks": [
                    { "type": "section", "text": { "type": "mrkdwn", "text": "*demo/reports*: completed" } },
                    { "type": "section", "text": { "type": "mrkdwn", "text": "```{\"records\":3}```" } },
                    { "type": "context", "elements": [
                        { "type": "mrkdwn", "text": "<https://ripost.example/requests/req_1|req_1>" },
                        { "type": "mrkdwn", "text": "0.050000 USDC" },
                    ] },
                ],
            })
        );
    }

    #[test]
    fn a_failed_request_says_why() {
        let message = message(json!({
            "requestId": "req_1", "api": "demo/reports", "status": "failed",
            "error": { "title": "Rows out of range", "detail": "`rows` is 0", "status": 422 },
        }));
        assert_eq!(message["blocks"][0]["text"]["text"], "*demo/reports*: failed, Rows out of range (`rows` is 0)");
        assert_eq!(message["blocks"].as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn a_result_can_neither_mention_anybody_nor_end_its_block_nor_fill_the_channel() {
        let text = |result: Value| {
            let message = message(json!({ "requestId": "r", "api": "a", "status": "completed", "result": result }));
            message["blocks"][1]["text"]["text"].as_str().unwrap().to_owned()
        };
        assert_eq!(text(json!("<!channel> & ```")), "```\"&lt;!channel&gt; &amp; '''\"```");
        let long = text(json!("ä".repeat(5_000)));
        assert!(long.chars().count() < 1_100 && long.ends_with("…```"), "{}", long.chars().count());
    }
}
