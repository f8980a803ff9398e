//! What a command prints, told line by line as untrusted text. However much that is, it
//! costs a bounded part of memory and of the log: the rest is read, counted, and said once.

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{ChildStderr, ChildStdout};

use super::OUTPUT_TARGET;
use crate::core::text::clean;

/// The most characters of a line.
const LINE: usize = 2000;
/// The bytes that so many characters can have.
const LINE_BYTES: usize = 4 * LINE;
/// The most of a run that is told.
const MOST_LINES: usize = 200;
const MOST_BYTES: usize = 64 << 10;

/// The output of one run.
pub(super) struct Output {
    stdout: Line,
    stderr: Line,
    told: Told,
}

impl Output {
    pub(super) fn new(rule: &str, delivery: &str) -> Self {
        let told = Told { rule: rule.to_owned(), delivery: delivery.to_owned(), lines: 0, bytes: 0, left_out: 0 };
        Self { stdout: Line::new("stdout"), stderr: Line::new("stderr"), told }
    }

    /// Reads both streams to their ends.
    pub(super) async fn read(&mut self, mut stdout: Option<ChildStdout>, mut stderr: Option<ChildStderr>) {
        let (mut out, mut err) = (vec![0; 16 << 10], vec![0; 16 << 10]);
        while stdout.is_some() || stderr.is_some() {
            tokio::select! {
                count = some(&mut stdout, &mut out), if stdout.is_some() => {
                    self.stdout.take(&out[..count], &mut self.told);
                    if count == 0 {
                        stdout = None;
                    }
                }
                count = some(&mut stderr, &mut err), if stderr.is_some() => {
                    self.stderr.take(&err[..count], &mut self.told);
                    if count == 0 {
                        stderr = None;
                    }
                }
            }
        }
    }

    /// Tells what came without a line end, and how much was not told.
    pub(super) fn finish(mut self) {
        self.stdout.end(&mut self.told);
        self.stderr.end(&mut self.told);
        let Told { rule, delivery, left_out, .. } = self.told;
        if left_out > 0 {
            tracing::warn!(
                target: OUTPUT_TARGET, rule, delivery, left_out_bytes = left_out,
                "the command printed more than is logged, which is {MOST_LINES} lines, 64 KiB, and {LINE} characters a line"
            );
        }
    }
}

/// The size of the next piece; none at the end, and a stream that fails is at its end.
async fn some(stream: &mut Option<impl AsyncRead + Unpin>, buffer: &mut [u8]) -> usize {
    match stream {
        Some(stream) => stream.read(buffer).await.unwrap_or(0),
        None => 0,
    }
}

/// The line of a stream that has not ended yet, as far as it is told.
struct Line {
    stream: &'static str,
    bytes: Vec<u8>,
}

impl Line {
    fn new(stream: &'static str) -> Self {
        Self { stream, bytes: Vec::new() }
    }

    fn take(&mut self, piece: &[u8], told: &mut Told) {
        // The rest of a flood is not even looked at.
        if told.is_full() {
            told.left_out += piece.len() as u64;
            return;
        }
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            if told.is_full() {
                told.left_out += part.len() as u64;
                continue;
            }
            let room = LINE_BYTES - self.bytes.len();
            let (kept, rest) = part.split_at(part.len().min(room));
            self.bytes.extend_from_slice(kept);
            told.left_out += rest.len() as u64;
            if part.ends_with(b"\n") {
                self.end(told);
            }
        }
    }

    fn end(&mut self, told: &mut Told) {
        if !self.bytes.is_empty() {
            told.tell(self.stream, &self.bytes);
            self.bytes.clear();
        }
    }
}

/// What was told so far.
struct Told {
    rule: String,
    delivery: String,
    lines: usize,
    bytes: usize,
    left_out: u64,
}

impl Told {
    fn is_full(&self) -> bool {
        self.lines >= MOST_LINES || self.bytes >= MOST_BYTES
    }

    fn tell(&mut self, stream: &str, line: &[u8]) {
        if self.is_full() {
            self.left_out += line.len() as u64;
            return;
        }
        // Those that show nothing cost time too.
        self.lines += 1;
        self.bytes += line.len();
        let mut text = clean(&String::from_utf8_lossy(line), LINE_BYTES);
        if text.is_empty() {
            return;
        }
        if let Some((end, _)) = text.char_indices().nth(LINE) {
            self.left_out += (text.len() - end) as u64;
            text.truncate(end);
        }
        tracing::info!(target: OUTPUT_TARGET, rule = self.rule, delivery = self.delivery, stream, "{text}");
    }
}
