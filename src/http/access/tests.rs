//! What single credentials are, apart from any connection.

use super::*;

fn passwords(hashes: &[(&str, String)]) -> Passwords {
    Passwords::new(&hashes.iter().map(|(user, hash)| ((*user).to_owned(), hash.clone().into())).collect())
}

#[tokio::test]
async fn a_password_is_right_for_its_user_alone_also_when_it_is_known() {
    let hash = |password: &str| bcrypt::hash(password, 4).unwrap();
    let passwords = passwords(&[("a", hash("one")), ("b", hash("two"))]);
    for _ in 0..2 {
        for (user, password, expected) in [
            ("a", "one", Verdict::Right),
            ("b", "two", Verdict::Right),
            ("a", "two", Verdict::Wrong),
            ("b", "one", Verdict::Wrong),
            ("c", "one", Verdict::Wrong),
            ("a", "", Verdict::Wrong),
            ("a:", "one", Verdict::Wrong),
            ("", "a:one", Verdict::Wrong),
        ] {
            assert_eq!(passwords.check(user, password.into()).await, expected, "{user}:{password}");
        }
    }
}

#[tokio::test]
async fn more_than_a_few_who_wait_to_be_looked_at_are_put_off() {
    let passwords = Arc::new(passwords(&[("a", bcrypt::hash("one", 8).unwrap())]));
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let passwords = Arc::clone(&passwords);
        all.spawn(async move { passwords.check("a", "wrong".into()).await });
    }
    let verdicts = all.join_all().await;
    let busy = verdicts.iter().filter(|verdict| **verdict == Verdict::Busy).count();
    assert_eq!(busy, 40);
    assert_eq!(passwords.check("a", "one".into()).await, Verdict::Right, "later there is time again");
}

#[test]
fn nothing_that_is_secret_shows() {
    let token = Token::new(&"0123456789abcdef".into());
    assert_eq!(format!("{token:?}"), "Token(…)");
    let shown = format!("{:?}", passwords(&[("prometheus", bcrypt::hash("one", 4).unwrap())]));
    assert!(!shown.contains('$'), "{shown}");
    let mut headers = axum::http::HeaderMap::new();
    headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Basic YTpzZWNyZXQ="));
    let shown = format!("{:?}", Login::of(&headers));
    assert!(shown.contains("\"a\"") && !shown.contains("secret\""), "{shown}");
}
