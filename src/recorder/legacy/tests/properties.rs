//! No record and no day file makes the import fail, and no order of them changes what it comes to.

use proptest::prelude::*;

use super::*;

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-zA-Z:/. \\-]{0,12}|\\PC{0,6}".prop_map(Value::from),
        Just(json!("ada:secret-secret")),
        Just(json!("2025-03-14T10:00:00")),
        Just(json!("https://h.example/chat/completions")),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let keys = [
            "proxy-authorization",
            "timestamp",
            "proxy-time-consumed",
            "request",
            "response",
            "headers",
            "content",
            "url",
            "method",
            "status_code",
            "usage",
            "ada",
            "chat",
            "completions",
            "extension",
            "models",
            "count",
            "languages",
            "editor_version",
            "chat_turns",
            "day",
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::hash_map(prop::sample::select(keys.to_vec()).prop_map(str::to_owned), inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// One of the fields of a record becomes something else.
fn any_damage() -> impl Strategy<Value = Value> {
    let places = prop::sample::select(vec![
        "/proxy-authorization",
        "/timestamp",
        "/proxy-time-consumed",
        "/request",
        "/request/url",
        "/request/headers",
        "/request/content",
        "/request/method",
        "/response",
        "/response/status_code",
        "/response/headers",
        "/response/content",
        "/response/content/0",
        "/request/content/extra",
        "/request/headers/editor-version",
    ]);
    prop::collection::vec((places, any_json()), 0..4).prop_map(|changes| {
        let mut record = completion(1);
        for (place, value) in changes {
            if let Some(found) = record.pointer_mut(place) {
                *found = value;
            }
        }
        record
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_record_makes_it_fail(record in prop_oneof![any_damage(), any_json()]) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("2025-03-14T10-00-00_m_192.0.2.1_e.json");
        fs::write(&path, record.to_string()).unwrap();
        if let Ok(Some(taken)) = record::read(&path, 1 << 20) {
            let event = taken.record.event().unwrap();
            let again: crate::recorder::Record = serde_json::from_str(&taken.record.to_json()).unwrap();
            prop_assert_eq!(again.event().unwrap(), event);
            let once_more = record::read(&path, 1 << 20).unwrap().unwrap().record;
            prop_assert_eq!(once_more.id, taken.record.id);
        }
    }

    #[test]
    fn no_day_file_makes_it_fail(usage in any_json(), bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let mut left_out = LeftOut::default();
        let day = "2025-03-14".parse().unwrap();
        for text in [json!({"usage": {"ada": usage}}).to_string().into_bytes(), usage.to_string().into_bytes(), bytes] {
            DayCounts::default().add(day, Path::new("x"), &text, &mut left_out);
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// However many records and whatever day file come in whatever order, a cell has as many as the one or the other.
    #[test]
    fn a_cell_has_what_the_greater_tells(steps in prop::collection::vec((0..4_u32, 0..6_u64), 1..4)) {
        let site = Site::new();
        let (mut records, mut told) = (0, 0);
        for (more, count) in steps {
            for number in records..records + more {
                site.write_record("logs/usage/ada", "completions", &completion(number));
            }
            records += more;
            told = told.max(count);
            let day = json!({"usage": {"ada": {"completions": {"vscode-1.90.0": {"python": count}}}}});
            site.write("logs/metrics/copilot-usage_2025-03-14.json", day.to_string());
            site.import();
            let turns = site.events().iter().filter(|event| event.class == Class::Turn).count() as u64;
            prop_assert_eq!(turns, told.max(records.into()));
        }
    }
}
