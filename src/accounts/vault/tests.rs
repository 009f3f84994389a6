//! What opens what, and what does not.

use super::*;

#[test]
fn a_field_opens_only_in_its_own_place() {
    let key = DataKey::fresh().unwrap();
    let sealed = key.seal("u@example.org", "refresh", b"1//token").unwrap();
    let open = |account, field| key.open(account, field, &sealed);
    assert_eq!(
        open("u@example.org", "refresh").unwrap().reveal(),
        b"1//token"
    );
    assert!(open("v@example.org", "refresh").is_none());
    assert!(open("u@example.org", "access").is_none());
    assert!(
        DataKey::fresh()
            .unwrap()
            .open("u@example.org", "refresh", &sealed)
            .is_none()
    );
    assert_ne!(
        sealed,
        key.seal("u@example.org", "refresh", b"1//token").unwrap()
    );
}

#[test]
fn every_changed_byte_is_noticed() {
    let key = DataKey::fresh().unwrap();
    let sealed = STANDARD
        .decode(key.seal("u", "f", b"secret").unwrap())
        .unwrap();
    for at in 0..sealed.len() {
        let mut bad = sealed.clone();
        bad[at] ^= 1;
        assert!(
            key.open("u", "f", &STANDARD.encode(bad)).is_none(),
            "byte {at}"
        );
        assert!(
            key.open("u", "f", &STANDARD.encode(&sealed[..at]))
                .is_none()
        );
    }
    assert!(key.open("u", "f", "not base64!").is_none());
}

fn wrap(key: &DataKey, password: &str, among: &[Wrap], terms: Terms) -> Wrap {
    let derived = Derived::of(&Password::from(password), among, Cost::CHEAP).unwrap();
    key.wrap("u", &derived, terms).unwrap()
}

#[test]
fn any_of_several_passwords_opens_the_same_key() {
    let key = DataKey::fresh().unwrap();
    let mut wraps = vec![wrap(&key, "one", &[], Terms::default())];
    wraps.push(wrap(&key, "two", &wraps, Terms::default()));
    assert_eq!(wraps[0].salt, wraps[1].salt, "one derivation serves both");
    let sealed = key.seal("u", "f", b"x").unwrap();
    for (at, good) in ["one", "two"].into_iter().enumerate() {
        let (key, opened) = unwrap(&wraps, "u", &Password::from(good)).unwrap().unwrap();
        assert_eq!(key.open("u", "f", &sealed).unwrap().reveal(), b"x");
        assert_eq!(opened, [wraps[at].id()]);
    }
    assert!(
        unwrap(&wraps, "u", &Password::from("three"))
            .unwrap()
            .is_none()
    );
    assert!(
        unwrap(&wraps, "v", &Password::from("one"))
            .unwrap()
            .is_none()
    );
}

#[test]
fn terms_cannot_be_changed_in_the_store() {
    let key = DataKey::fresh().unwrap();
    let terms = Terms {
        name: Some("phone".into()),
        services: vec!["imap".into()],
        from: vec!["10.0.0.0/8".into()],
        created: Some(1_700_000_000),
    };
    let good = serde_json::to_value(wrap(&key, "pw", &[], terms)).unwrap();
    let opens = |value: &serde_json::Value| {
        let wrap: Wrap = serde_json::from_value(value.clone()).unwrap();
        unwrap(&[wrap], "u", &Password::from("pw"))
            .unwrap()
            .is_some()
    };
    assert!(opens(&good));
    for (field, other) in [
        ("name", serde_json::json!("tablet")),
        ("services", serde_json::json!(["imap", "smtp"])),
        ("services", serde_json::json!([])),
        ("from", serde_json::json!(["0.0.0.0/0"])),
        ("created", serde_json::json!(1_800_000_000)),
    ] {
        let mut bad = good.clone();
        bad[field] = other;
        assert!(!opens(&bad), "{field}");
        let mut bad = good.clone();
        bad.as_object_mut().unwrap().remove(field);
        assert!(!opens(&bad), "without {field}");
    }
    let mut bad = good.clone();
    bad["by"] = "store".into();
    assert!(!opens(&bad));
}

#[test]
fn wraps_of_older_stores_still_open() {
    // As this program wrote them before passwords had terms.
    let key = DataKey::fresh().unwrap();
    let salt = [7; 16];
    let by_password = Cost::CHEAP.derive(&Password::from("pw"), &salt).unwrap();
    let old = serde_json::json!({
        "by": "password", "memory_kib": 8, "passes": 1, "lanes": 1,
        "salt": STANDARD.encode(salt),
        "key": seal(&by_password, "u", "data key", key.0.reveal()).unwrap(),
    });
    let wrap: Wrap = serde_json::from_value(old.clone()).unwrap();
    assert!(
        unwrap(std::slice::from_ref(&wrap), "u", &Password::from("pw"))
            .unwrap()
            .is_some()
    );
    assert_eq!(
        serde_json::to_value(&wrap).unwrap(),
        old,
        "it stays as it is"
    );
}

#[test]
fn the_stores_key_opens_its_own_wraps_only() {
    let (mine, other) = (Secret::new([1; 32]), Secret::new([2; 32]));
    let key = DataKey::fresh().unwrap();
    let sealed = key.seal("u", "f", b"x").unwrap();
    let wrap = key.wrap_by_store("u", &mine).unwrap();
    let wrap: Wrap = serde_json::from_value(serde_json::to_value(wrap).unwrap()).unwrap();
    let opened = wrap.open_by_store("u", &mine).unwrap();
    assert_eq!(opened.open("u", "f", &sealed).unwrap().reveal(), b"x");
    assert!(wrap.open_by_store("u", &other).is_none());
    assert!(wrap.open_by_store("v", &mine).is_none());
    assert!(
        unwrap(&[wrap], "u", &Password::from("pw"))
            .unwrap()
            .is_none()
    );
}

#[test]
fn new_wraps_cost_64_mib_and_say_so() {
    let derived = Derived::of(&Password::from("pw"), &[], Cost::NORMAL).unwrap();
    let key = DataKey::fresh().unwrap();
    let wrap = key.wrap("u", &derived, Terms::default()).unwrap();
    let text = serde_json::to_value(&wrap).unwrap();
    assert_eq!(
        (&text["memory_kib"], &text["passes"]),
        (&65_536.into(), &3.into())
    );
    let back: Wrap = serde_json::from_value(text).unwrap();
    assert!(
        unwrap(&[back], "u", &Password::from("pw"))
            .unwrap()
            .is_some()
    );
}

#[test]
fn a_file_cannot_ask_for_all_memory() {
    let cost = Cost {
        memory_kib: u32::MAX,
        ..Cost::CHEAP
    };
    assert!(cost.derive(&Password::from("pw"), &[0; 16]).is_err());
}
