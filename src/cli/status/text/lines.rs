//! What every part of the screen is made of: labelled lines that fit into it.

use jiff::Timestamp;

pub(super) const COLUMNS: usize = 80;
/// Where what is said begins.
pub(super) const INDENT: usize = 14;

pub(super) fn line(label: &str, text: &str) -> String {
    let width = INDENT - 3;
    format!("  {label:<width$} {text}")
}

/// The label stands before the first of them.
pub(super) fn labelled(label: &str, texts: impl IntoIterator<Item = String>) -> Vec<String> {
    let texts = texts.into_iter().enumerate();
    texts.map(|(i, text)| line(if i == 0 { label } else { "" }, &text)).collect()
}

/// Commas between them, over as many lines as it takes.
pub(super) fn listed(label: &str, pieces: &[String]) -> Vec<String> {
    let comma = |i| if i + 1 < pieces.len() { "," } else { "" };
    let pieces = pieces.iter().enumerate().map(|(i, piece)| format!("{piece}{}", comma(i)));
    labelled(label, wrap(pieces, COLUMNS - INDENT))
}

/// As many pieces on a line as there is room for.
pub(super) fn wrap(pieces: impl Iterator<Item = String>, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for piece in pieces {
        match lines.last_mut() {
            Some(last) if last.chars().count() + 1 + piece.chars().count() <= columns => {
                last.push(' ');
                last.push_str(&piece);
            }
            _ => lines.push(piece),
        }
    }
    lines
}

/// How long ago, by our clock. A server's may be ahead.
pub(super) fn age(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(at).as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds as f64 / 3600.0, seconds as f64 / 86_400.0);
    match minutes {
        0 => format!("{seconds} s"),
        1..100 => format!("{minutes} min"),
        100..2_880 => format!("{hours:.1} h"),
        _ => format!("{days:.0} d"),
    }
}

pub(super) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.trim_end().to_owned();
    }
    text.chars().take(most - 1).collect::<String>() + "…"
}
