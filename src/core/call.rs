//! A call of the REST API as a script puts it, and which ones its rule allows. A path
//! that was parsed means one route, whatever a proxy on the way makes of escapes.

use std::fmt;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Put,
    Delete,
}

impl Method {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }

    pub fn is_write(self) -> bool {
        self != Self::Get
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A place below `/api/v1/`, and the query behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// Without their escapes; none is empty, holds a slash, or leads upward.
    segments: Vec<String>,
    query: Option<String>,
}

impl Path {
    /// Reads `/api/v1/videos/UUID?x=y`. Says what is wrong with anything else.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (path, query) = match text.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (text, None),
        };
        let rest = path.strip_prefix(ROOT).filter(|rest| !rest.is_empty());
        let rest = rest.ok_or_else(|| format!("a path begins with {ROOT}, as {ROOT}videos does"))?;
        let segments = rest.split('/').map(segment).collect::<Result<_, _>>()?;
        Ok(Self { segments, query })
    }

    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().map(String::as_str)
    }

    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// The same place with more parameters.
    pub fn with_query(&self, more: &str) -> Self {
        let query = match self.query.as_deref().filter(|query| !query.is_empty()) {
            Some(query) => format!("{query}&{more}"),
            None => more.to_owned(),
        };
        Self { segments: self.segments.clone(), query: Some(query) }
    }

    /// The names of its parameters.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        let pairs = self.query.as_deref().unwrap_or_default().split('&');
        pairs.map(|pair| pair.split('=').next().unwrap_or_default())
    }
}

/// Without the query, which may hold anything.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ROOT}{}", self.segments.join("/"))
    }
}

/// One kind of write that a rule's script may make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allow {
    method: Method,
    /// `None` is any one segment.
    segments: Vec<Option<String>>,
}

impl Allow {
    /// Reads `POST /api/v1/videos/*/transcoding`, where `*` is exactly one segment.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some((method, path)) = text.split_once(' ') else {
            return Err(format!("write a method and a path, as \"POST {ROOT}videos/*/transcoding\""));
        };
        let method = match method {
            "POST" => Method::Post,
            "PUT" => Method::Put,
            "DELETE" => Method::Delete,
            "GET" => return Err("GET is always allowed; name writes only".to_owned()),
            _ => return Err("the method must be POST, PUT or DELETE".to_owned()),
        };
        let path = Path::parse(path)?;
        if path.query.is_some() {
            return Err("leave out the query: a path is allowed with any".to_owned());
        }
        let segments = path.segments.into_iter().map(|segment| match segment.as_str() {
            "*" => Ok(None),
            mixed if mixed.contains('*') => Err("* stands for a whole segment, between two slashes".to_owned()),
            _ => Ok(Some(segment)),
        });
        Ok(Self { method, segments: segments.collect::<Result<_, _>>()? })
    }

    pub fn allows(&self, method: Method, path: &Path) -> bool {
        let fits = |(pattern, segment): (&Option<String>, &String)| pattern.as_ref().is_none_or(|own| own == segment);
        self.method == method
            && self.segments.len() == path.segments.len()
            && self.segments.iter().zip(&path.segments).all(fits)
    }
}

const ROOT: &str = "/api/v1/";

/// A segment without its escapes.
fn segment(text: &str) -> Result<String, String> {
    let plain = unescape(text).ok_or("an escape in the path is % and two hexadecimal digits of UTF-8")?;
    // Express and the proxies before it disagree on what an escaped slash, a dot or a
    // second round of escapes mean: whatever is open to two readings is refused.
    let is_odd = |c: char| c.is_control() || matches!(c, '/' | '\\' | '%' | '?' | '#' | ';');
    match plain.as_str() {
        "" => Err("the path has an empty segment: two slashes, or one at its end".to_owned()),
        "." | ".." => Err("the path has a segment of dots alone".to_owned()),
        odd if odd.contains(is_odd) => Err("a segment of the path holds one of / \\ % ? # ; escaped or not".to_owned()),
        _ => Ok(plain),
    }
}

fn unescape(text: &str) -> Option<String> {
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        plain.push(if byte == b'%' { hex(bytes.next()?)? << 4 | hex(bytes.next()?)? } else { byte });
    }
    String::from_utf8(plain).ok()
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(allow: &str, method: Method, path: &str) -> bool {
        let path = Path::parse(path).unwrap();
        Allow::parse(allow).unwrap().allows(method, &path)
    }

    #[test]
    fn a_star_is_exactly_one_segment() {
        let transcoding = "POST /api/v1/videos/*/transcoding";
        assert!(allows(transcoding, Method::Post, "/api/v1/videos/a09a/transcoding"));
        assert!(allows(transcoding, Method::Post, "/api/v1/videos/a09a/transcoding?x=/y"));
        for other in [
            "videos/transcoding",
            "videos/a/b/transcoding",
            "videos/a/transcoding/b",
            "videos/a",
            "Videos/a/transcoding",
        ] {
            assert!(!allows(transcoding, Method::Post, &format!("/api/v1/{other}")), "{other}");
        }
        assert!(!allows(transcoding, Method::Put, "/api/v1/videos/a09a/transcoding"));
        assert!(allows("DELETE /api/v1/a%62c", Method::Delete, "/api/v1/%61bc"), "escapes mean what they stand for");
    }

    #[test]
    fn what_could_mean_another_route_is_no_path() {
        for odd in [
            "/api/v1/videos/..",
            "/api/v1/videos/../users",
            "/api/v1/videos/%2e%2e/users",
            "/api/v1/videos/.%2E/users",
            "/api/v1/videos/a%2Fb/transcoding",
            "/api/v1/videos/a%2fb",
            "/api/v1/videos/a%5cb",
            "/api/v1/videos/a\\b",
            "/api/v1/videos/%252e%252e",
            "/api/v1/videos//x",
            "/api/v1/videos/",
            "/api/v1/videos/a;b",
            "/api/v1/videos/a#b",
            "/api/v1/videos/%0d%0aHost:%20evil",
            "/api/v1/videos/%zz",
            "/api/v1/videos/%ff",
            "/api/v1/videos/%2",
            "/api/v1/",
            "/api/v1",
            "/api/v2/videos",
            "/api/v1x/videos",
            "api/v1/videos",
            "//evil.example/api/v1/videos",
            "https://evil.example/api/v1/videos",
            "",
        ] {
            assert!(Path::parse(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn a_path_keeps_what_its_query_says() {
        let path = Path::parse("/api/v1/accounts/me%40pt.example/videos?search=a%2Fb&sort=-x").unwrap();
        assert_eq!(path.segments().collect::<Vec<_>>(), ["accounts", "me@pt.example", "videos"]);
        assert_eq!(path.query(), Some("search=a%2Fb&sort=-x"));
        assert_eq!(path.with_query("start=0").query(), Some("search=a%2Fb&sort=-x&start=0"));
        assert_eq!(path.parameters().collect::<Vec<_>>(), ["search", "sort"]);
        assert_eq!(path.to_string(), "/api/v1/accounts/me@pt.example/videos");
    }

    #[test]
    fn what_is_allowed_must_be_a_write_and_a_path() {
        for wrong in [
            "GET /api/v1/videos",
            "PATCH /api/v1/videos",
            "post /api/v1/videos",
            "/api/v1/videos",
            "POST videos",
            "POST /api/v1/videos/**",
            "POST /api/v1/videos/a*",
            "POST /api/v1/videos?a=b",
            "POST  /api/v1/videos",
            "*",
        ] {
            assert!(Allow::parse(wrong).is_err(), "{wrong}");
        }
    }
}
