//! Signatures of Standard Webhooks 1.0. A key is never shown, not even by an error
//! about it.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice};
use sha2::Sha256;

const PREFIX: &str = "whsec_";
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;
const ADVICE: &str = "make one with: echo \"whsec_$(openssl rand -base64 32)\"";

/// A secret that the receiver has too.
#[derive(Clone)]
pub struct SigningKey(SecretSlice<u8>);

impl SigningKey {
    /// Reads `whsec_` and 24 to 64 bytes in base64; else says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let base64 = text.strip_prefix(PREFIX).ok_or_else(|| format!("does not begin with {PREFIX}; {ADVICE}"))?;
        let key = STANDARD.decode(base64).map_err(|_| {
            format!("is no base64 after {PREFIX}: a letter is wrong, or its end is missing; copy it again, or {ADVICE}")
        })?;
        if !LENGTHS.contains(&key.len()) {
            let (least, most) = LENGTHS.into_inner();
            return Err(format!("is {} bytes long, which should be {least} to {most}; {ADVICE}", key.len()));
        }
        Ok(Self(key.into()))
    }

    /// The signature of one try, with the name of its scheme.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        // A key of HMAC may have any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.0.expose_secret()) else { return String::new() };
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example that the libraries of Standard Webhooks are tested with.
    #[test]
    fn the_published_example_has_its_published_signature() {
        let key = SigningKey::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b"{\"test\": 2432232314}");
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_wrong_secret_is_told_what_to_do_and_not_shown() {
        let bytes = |count: usize| format!("whsec_{}", STANDARD.encode(vec![b'x'; count]));
        for (wrong, said) in [
            (String::new(), "does not begin with whsec_"),
            ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into(), "does not begin with whsec_"),
            ("whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into(), "does not begin with whsec_"),
            ("whsec_".into(), "is 0 bytes long, which should be 24 to 64"),
            ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS".into(), "is no base64"),
            ("whsec_MfKQ9r8GKYqr TwjUPD8ILPZIo2LaLaSw".into(), "is no base64"),
            (bytes(23), "is 23 bytes long"),
            (bytes(65), "is 65 bytes long"),
        ] {
            let error = SigningKey::parse(&wrong).unwrap_err();
            assert!(error.starts_with(said) && error.contains("openssl rand"), "{wrong}: {error}");
            assert!(!error.contains("MfKQ") && !error.contains("eHh4"), "{error}");
        }
        for count in [24, 25, 64] {
            let key = SigningKey::parse(&bytes(count)).unwrap();
            assert_eq!(format!("{key:?}"), "SigningKey(…)");
        }
    }
}
