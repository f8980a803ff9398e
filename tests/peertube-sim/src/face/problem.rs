//! Errors of the API, as each version words them.

use serde_json::{Map, Value, json};

use super::ask::Ask;
use super::reply::Reply;
use crate::jobs::Version;

const DOCS: &str = "https://docs.joinpeertube.org/api-rest-reference.html";

/// An error of the API, before a version words it.
#[derive(Debug, Default)]
pub(super) struct Problem {
    status: u16,
    detail: String,
    code: Option<&'static str>,
    /// The operation in PeerTube's documentation.
    docs: Option<&'static str>,
    /// The address, when parameters are wrong.
    instance: Option<String>,
    invalid: Option<Invalid>,
}

/// A parameter that is wrong.
#[derive(Debug)]
pub(super) struct Invalid {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) message: &'static str,
    /// `query` or `params`.
    pub(super) location: &'static str,
}

impl Problem {
    pub(super) fn new(status: u16, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), ..Self::default() }
    }

    pub(super) fn code(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }

    pub(super) fn docs(self, docs: impl Into<Option<&'static str>>) -> Self {
        Self { docs: docs.into(), ..self }
    }

    pub(super) fn invalid(ask: &Ask<'_>, invalid: Invalid) -> Self {
        let detail = format!("Incorrect request parameters: {}", invalid.name);
        Self { instance: Some(ask.target()), invalid: Some(invalid), ..Self::new(400, detail) }
    }

    pub(super) fn reply(self, version: Version) -> Reply {
        let status = self.status;
        let (content_type, body) = match version {
            Version::QuickStart => ("application/json; charset=utf-8", self.old_body()),
            Version::V6_3 | Version::V8_2 => ("application/problem+json; charset=utf-8", self.body(version)),
        };
        Reply::json(&body).content_type(content_type).with_status(status)
    }

    fn body(self, version: Version) -> Value {
        let mut body = Map::new();
        let mut set = |name: &str, value: Value| body.insert(name.to_owned(), value);
        match self.code {
            Some(code) => {
                set("type", json!(format!("{DOCS}#section/Errors/{code}")));
                set("code", json!(code));
            }
            None => {
                set("type", json!("about:blank"));
                set("title", json!(reason(self.status)));
            }
        }
        set("detail", json!(self.detail));
        set("status", json!(self.status));
        if let Some(docs) = self.docs {
            set("docs", json!(format!("{DOCS}#operation/{docs}")));
        }
        if let Some(instance) = self.instance {
            set("instance", json!(instance));
        }
        if let Some(Invalid { name, value, message, location }) = self.invalid {
            let field = json!({ "type": "field", "value": value, "msg": message, "path": name, "location": location });
            set("invalid-params", json!({ name: field }));
        }
        if version == Version::V6_3 {
            set("error", json!(self.detail));
        }
        Value::Object(body)
    }

    fn old_body(self) -> Value {
        match (self.invalid, self.code) {
            (Some(Invalid { name, value, message, location }), _) => json!({ "errors": {
                name: { "location": location, "param": name, "value": value, "msg": message },
            } }),
            (None, Some(code)) => json!({ "code": code, "error": self.detail }),
            (None, None) => json!({ "error": self.detail }),
        }
    }
}

pub(super) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        301 => "Moved Permanently",
        302 => "Found",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        409 => "Conflict",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Temporarily Unavailable",
        504 => "Gateway Time-out",
        _ => "Error",
    }
}
