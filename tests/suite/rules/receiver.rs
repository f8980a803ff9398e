//! A receiver as somebody else might write it, from the text of Standard Webhooks 1.0
//! alone: nothing of it is shared with the sender, HMAC and base64 included.

use sha2::{Digest, Sha256};
use wiremock::Request;

/// How far its clock and the sender's may be apart.
const TOLERANCE: i64 = 300;

pub(super) struct Receiver {
    key: Vec<u8>,
}

impl Receiver {
    /// With the secret that its operator was given.
    pub(super) fn new(secret: &str) -> Self {
        Self { key: decode(secret.strip_prefix("whsec_").unwrap()) }
    }

    /// Believes a request that comes in at `now`, or says why not.
    pub(super) fn verify(&self, request: &Request, now: i64) -> Result<(), &'static str> {
        let header = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok());
        let id = header("webhook-id").ok_or("no id")?;
        let timestamp = header("webhook-timestamp").ok_or("no timestamp")?;
        let signatures = header("webhook-signature").ok_or("no signature")?;
        let at: i64 = timestamp.parse().map_err(|_| "no number")?;
        if (now - at).abs() > TOLERANCE {
            return Err("the clock is wrong");
        }
        let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", &request.body].concat();
        let expected = hmac(&self.key, &signed);
        let known = signatures.split(' ').filter_map(|signature| signature.strip_prefix("v1,"));
        if known.into_iter().any(|signature| decode(signature) == expected) { Ok(()) } else { Err("no signature fits") }
    }
}

/// RFC 2104 over SHA-256, whose blocks have 64 bytes.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    assert!(key.len() <= 64, "a longer key would be hashed first");
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().to_vec()
}

/// RFC 4648, section 4.
fn decode(text: &str) -> Vec<u8> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    assert!(text.len().is_multiple_of(4), "{text} is not padded");
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for letter in text.trim_end_matches('=').bytes() {
        let value = alphabet.iter().position(|known| *known == letter).unwrap();
        bits = (bits << 6) | u32::try_from(value).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    bytes
}
