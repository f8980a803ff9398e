//! Versions in their order, after Semantic Versioning: a pre-release comes before what
//! it leads to. What is no version has no order.

use std::cmp::Ordering;

/// `None` if either is no version.
pub fn compare(a: &str, b: &str) -> Option<Ordering> {
    Some(Version::parse(a)?.cmp(&Version::parse(b)?))
}

/// Whether `latest` comes after `than`; not if either is no version.
pub fn is_newer(latest: &str, than: &str) -> bool {
    compare(latest, than) == Some(Ordering::Greater)
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Version<'a> {
    numbers: [u64; 3],
    stage: Stage<'a>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Stage<'a> {
    Before(Vec<Part<'a>>),
    Released,
}

/// Numbers come before words.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Part<'a> {
    Number(u64),
    Word(&'a str),
}

impl<'a> Version<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        // What follows a plus only names the build.
        let text = text.split_once('+').map_or(text, |(text, _)| text);
        let (numbers, stage) = match text.split_once('-') {
            Some((numbers, before)) => (numbers, Stage::Before(before.split('.').map(part).collect::<Option<_>>()?)),
            None => (text, Stage::Released),
        };
        let mut parts = numbers.split('.').map(number);
        let numbers = [parts.next()??, parts.next()??, parts.next()??];
        parts.next().is_none().then_some(Self { numbers, stage })
    }
}

fn part(text: &str) -> Option<Part<'_>> {
    let is_word = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    number(text).map(Part::Number).or(is_word.then_some(Part::Word(text)))
}

fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_stand_in_their_order() {
        let rising = [
            "0.9.9",
            "6.3.0-alpha.1",
            "6.3.0-alpha.2",
            "6.3.0-alpha.10",
            "6.3.0-alpha.beta",
            "6.3.0-rc.1",
            "v6.3.0",
            "6.3.1",
            "6.10.0",
            "8.2.1",
            "10.0.0",
        ];
        for (i, a) in rising.iter().enumerate() {
            for (j, b) in rising.iter().enumerate() {
                assert_eq!(compare(a, b), Some(i.cmp(&j)), "{a} and {b}");
                assert_eq!(is_newer(a, b), i > j, "{a} and {b}");
            }
        }
        assert_eq!(compare("8.2.1+build.7", "v8.2.1"), Some(Ordering::Equal));
    }

    #[test]
    fn what_is_no_version_is_newer_than_none_and_older_than_none() {
        for odd in ["", "8", "8.2", "8.2.1.0", "8.2.x", "8..1", "latest", "8.2.1-", "8.2.1-rc..1", "+8.2.1", "-1.0.0"] {
            assert_eq!(compare(odd, "8.2.1"), None, "{odd}");
            assert!(!is_newer(odd, "0.0.1") && !is_newer("99.0.0", odd), "{odd}");
        }
    }
}
