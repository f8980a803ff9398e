//! Replies, of the instance and of what stands before it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use super::ask::Ask;
use super::problem::reason;
use crate::faults::Fault;
use crate::limits::Allowance;

#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    content_type: &'static str,
    pub(super) headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// Sent by what stands before the instance, not by the instance.
    foreign: bool,
}

impl Reply {
    fn new(status: u16, content_type: &'static str, body: Vec<u8>) -> Self {
        Self { status, content_type, headers: Vec::new(), body, foreign: false }
    }

    pub(super) fn json(body: &Value) -> Self {
        Self::raw_json(body.to_string().into_bytes())
    }

    /// A page of a list, written without a copy of its rows.
    pub(super) fn page(total: Option<u64>, data: Vec<Value>) -> Self {
        #[derive(Serialize)]
        struct Body {
            #[serde(skip_serializing_if = "Option::is_none")]
            total: Option<u64>,
            data: Vec<Value>,
        }
        Self::raw_json(serde_json::to_vec(&Body { total, data }).unwrap_or_default())
    }

    pub(super) fn raw_json(body: Vec<u8>) -> Self {
        Self::new(200, "application/json; charset=utf-8", body)
    }

    pub(super) fn html(status: u16, body: &str) -> Self {
        Self::new(status, "text/html; charset=utf-8", body.as_bytes().to_vec())
    }

    pub(super) fn nothing() -> Self {
        Self::new(204, "", Vec::new())
    }

    /// What the API says of a route it does not have.
    pub(super) fn unknown_route() -> Self {
        Self::new(400, "application/json; charset=utf-8", Vec::new())
    }

    pub(super) fn too_many(retry_after: i64) -> Self {
        Self::html(429, "Too many requests, please try again later.").header("Retry-After", retry_after)
    }

    /// A page of the reverse proxy, when the instance can't be asked.
    pub(super) fn of_proxy(status: u16) -> Self {
        let title = reason(status);
        let page = format!(
            "<html>\r\n<head><title>{status} {title}</title></head>\r\n<body>\r\n<center><h1>{status} {title}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
        );
        Self { content_type: "text/html", foreign: true, ..Self::html(status, &page) }
    }

    /// A blank page of another application on the same host.
    pub(super) fn of_another(status: u16) -> Self {
        Self { foreign: true, ..Self::html(status, "") }
    }

    pub(super) fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    pub(super) fn content_type(self, content_type: &'static str) -> Self {
        Self { content_type, ..self }
    }

    pub(super) fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    pub(super) fn limits(self, allowance: Allowance) -> Self {
        self.header("X-RateLimit-Limit", allowance.limit)
            .header("X-RateLimit-Remaining", allowance.remaining)
            .header("X-RateLimit-Reset", allowance.resets_at.as_second())
    }

    /// What a client has already is not sent again.
    pub(super) fn tagged(self, ask: &Ask<'_>) -> Self {
        if self.foreign || self.body.is_empty() {
            return self;
        }
        let mut hasher = DefaultHasher::new();
        self.body.hash(&mut hasher);
        let tag = format!("W/\"{:x}-{:016x}\"", self.body.len(), hasher.finish());
        let known = ask.header("if-none-match").is_some_and(|known| known == tag);
        let reply = if known && self.status == 200 && ask.method() == "GET" {
            Self { status: 304, content_type: "", body: Vec::new(), ..self }
        } else {
            self
        };
        reply.header("ETag", tag)
    }

    /// What a fault leaves of it.
    pub(super) fn spoilt(mut self, fault: &Fault) -> Self {
        match fault {
            Fault::DoneButStatus(status) => Self::of_proxy(*status),
            Fault::CutShort => {
                self.body.truncate(self.body.len() / 2);
                self
            }
            Fault::WrongShape => Self { body: br#"{"unexpected":[1,2,3]}"#.to_vec(), ..self },
            Fault::ContentType(content_type) => self.content_type(content_type),
            Fault::Late(_) | Fault::DateOff(_) => self,
            Fault::OddRow(field) => self.with_odd_row(field),
            Fault::Body { encoding, body } => {
                let reply = Self::raw_json(body.to_vec());
                encoding.iter().fold(reply, |reply, encoding| reply.header("Content-Encoding", encoding))
            }
            Fault::Status(status) => Self::of_proxy(*status),
            Fault::TooManyRequests { retry_after } => Self::too_many(i64::try_from(*retry_after).unwrap_or(i64::MAX)),
            Fault::Unavailable { retry_after } => Self::of_proxy(503).header("Retry-After", retry_after),
            Fault::Html => Self::of_proxy(200),
            Fault::Redirect { status, to } => Self::of_proxy(*status).header("Location", to),
            Fault::Huge(bytes) => {
                let mut body = br#"{"total":1,"data":[],"filler":""#.to_vec();
                body.resize(body.len() + bytes, b'x');
                body.extend_from_slice(br#""}"#);
                Self::raw_json(body)
            }
        }
    }

    fn with_odd_row(mut self, field: &str) -> Self {
        let Ok(mut page) = serde_json::from_slice::<Value>(&self.body) else { return self };
        if let Some(rows) = page.get_mut("data").and_then(Value::as_array_mut) {
            let middle = rows.len() / 2;
            if let Some(row) = rows.get_mut(middle) {
                row[field] = json!({ "odd": true });
            }
        }
        // What a client has already must not hide it.
        self.headers.retain(|(name, _)| *name != "ETag");
        self.body = page.to_string().into_bytes();
        self
    }

    /// How long it is on the wire, less what only a real server adds.
    pub(super) fn bytes(&self) -> usize {
        let line = |name: &str, value: &str| name.len() + value.len() + ": \r\n".len();
        let head = self.headers.iter().map(|(name, value)| line(name, value)).sum::<usize>();
        let always = "HTTP/1.1 200 OK\r\nDate: Tue, 24 Nov 2026 02:51:53 GMT\r\nContent-Length: 1000\r\n\r\n".len();
        always + head + line("Content-Type", self.content_type) + self.body.len()
    }

    pub(super) fn into_template(self, now: Timestamp, delay: Option<Duration>) -> ResponseTemplate {
        let date = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let mut template = ResponseTemplate::new(self.status).insert_header("Date", date.as_str());
        if !self.foreign {
            template = template.insert_header("x-powered-by", "PeerTube");
        }
        for (name, value) in &self.headers {
            template = template.insert_header(*name, value.as_str());
        }
        if !self.content_type.is_empty() {
            template = template.insert_header("Content-Type", self.content_type);
        }
        if !self.body.is_empty() {
            template = template.set_body_bytes(self.body);
        }
        match delay {
            Some(delay) => template.set_delay(delay),
            None => template,
        }
    }
}
