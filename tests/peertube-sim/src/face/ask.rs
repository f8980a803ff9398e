//! A request as the routes read it.

use wiremock::Request;

#[derive(Debug)]
pub(super) struct Ask<'a> {
    request: &'a Request,
    query: Vec<(String, String)>,
}

impl<'a> Ask<'a> {
    pub(super) fn of(request: &'a Request) -> Self {
        Self { request, query: request.url.query_pairs().into_owned().collect() }
    }

    pub(super) fn method(&self) -> &str {
        self.request.method.as_str()
    }

    pub(super) fn path(&self) -> &str {
        self.request.url.path()
    }

    /// Path and query, as it was sent.
    pub(super) fn target(&self) -> String {
        match self.request.url.query() {
            Some(query) => format!("{}?{query}", self.path()),
            None => self.path().to_owned(),
        }
    }

    /// The first value of a parameter.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query_all(name).next()
    }

    pub(super) fn query_all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.query.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.request.headers.get(name)?.to_str().ok()
    }

    /// Whom the limits count: what a reverse proxy says, else the one address there is.
    pub(super) fn address(&self) -> &str {
        let forwarded = self.header("x-forwarded-for").and_then(|list| list.rsplit(',').next());
        forwarded.map_or("127.0.0.1", str::trim)
    }

    /// A body of JSON, if it is one.
    pub(super) fn json(&self) -> Option<serde_json::Value> {
        let media = self.header("content-type").filter(|media| media.starts_with("application/json"));
        media.and_then(|_| serde_json::from_slice(&self.request.body).ok())
    }

    pub(super) fn is_form(&self) -> bool {
        let media = self.header("content-type").and_then(|media| media.split(';').next());
        media.is_some_and(|media| media.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"))
    }

    pub(super) fn form(&self) -> Form {
        let fields = if self.is_form() {
            url::form_urlencoded::parse(&self.request.body).into_owned().collect()
        } else {
            Vec::new()
        };
        Form(fields)
    }
}

/// The fields of a form.
#[derive(Debug)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }
}
