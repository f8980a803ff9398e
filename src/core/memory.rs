//! What a poll remembers, as small documents under text keys. A poll works on a
//! copy; the difference to what was stored is committed with its events.

use std::collections::BTreeMap;

/// A poll's whole memory: key → JSON document.
pub type Documents = BTreeMap<String, String>;

/// One document to write or, without a value, to remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub key: String,
    pub value: Option<String>,
}

/// What turns `before` into `after`.
pub fn diff(before: &Documents, after: &Documents) -> Vec<Change> {
    let written = after
        .iter()
        .filter(|(key, value)| before.get(*key) != Some(*value))
        .map(|(key, value)| Change { key: key.clone(), value: Some(value.clone()) });
    let removed =
        before.keys().filter(|key| !after.contains_key(*key)).map(|key| Change { key: key.clone(), value: None });
    written.chain(removed).collect()
}

#[cfg(test)]
mod tests {
    use super::{Change, Documents, diff};

    #[test]
    fn only_what_differs_is_written_or_removed() {
        let before = Documents::from([("a".into(), "1".into()), ("b".into(), "2".into()), ("c".into(), "3".into())]);
        let after = Documents::from([("a".into(), "1".into()), ("b".into(), "9".into()), ("d".into(), "4".into())]);
        let change = |key: &str, value: Option<&str>| Change { key: key.into(), value: value.map(Into::into) };
        assert_eq!(diff(&before, &after), [change("b", Some("9")), change("d", Some("4")), change("c", None)]);
    }
}
