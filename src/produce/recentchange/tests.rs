//! The mapping, by samples of what the stream sends.

use proptest::prelude::*;

use super::*;

/// One sample: what it shows, the event as the stream sends it, the event on the topic.
struct Sample(&'static str, &'static str, &'static str);

const SAMPLES: [Sample; 19] = [
    Sample(
        "an edit",
        r#"{"$schema":"/mediawiki/recentchange/1.0.0","meta":{"uri":"https://en.wikipedia.org/wiki/Lake","request_id":"b4f2","id":"0d11","dt":"2024-01-15T16:00:00Z","domain":"en.wikipedia.org","stream":"mediawiki.recentchange","topic":"eqiad.mediawiki.recentchange","partition":0,"offset":5252169056},"id":1735000001,"type":"edit","namespace":0,"title":"Lake","title_url":"https://en.wikipedia.org/wiki/Lake","comment":"/* Depth */ source added","timestamp":1705334400,"user":"Żółw","bot":false,"notify_url":"https://en.wikipedia.org/w/index.php?diff=2&oldid=1","minor":true,"patrolled":false,"length":{"old":24798,"new":25298},"revision":{"old":1195000001,"new":1195000002},"server_url":"https://en.wikipedia.org","server_name":"en.wikipedia.org","server_script_path":"/w","wiki":"enwiki","parsedcomment":"<span>source added</span>"}"#,
        r#"{"timestamp":1705334400,"user":"Żółw","title":"Lake","server_name":"en.wikipedia.org","type":"edit","bytes_changed":500,"is_bot":false,"is_new_page":false,"language":"en","project":"wikipedia","id":1735000001,"wiki":"enwiki","namespace":0,"comment":"/* Depth */ source added","minor":true,"patrolled":false,"revision_old":1195000001,"revision_new":1195000002}"#,
    ),
    Sample(
        "an edit that shortens the page, by a bot, escapes kept",
        r#"{"$schema":"/mediawiki/recentchange/1.0.0","meta":{"domain":"he.wikipedia.org"},"id":53404707,"type":"edit","namespace":10,"title":"\u05ea\u05d1 \"x\"","comment":"bot","timestamp":1596207527,"user":"DMbotY","bot":true,"minor":true,"patrolled":true,"length":{"old":4905,"new":4805},"revision":{"old":28682248,"new":28826355},"server_name":"he.wikipedia.org","wiki":"hewiki"}"#,
        r#"{"timestamp":1596207527,"user":"DMbotY","title":"\u05ea\u05d1 \"x\"","server_name":"he.wikipedia.org","type":"edit","bytes_changed":-100,"is_bot":true,"is_new_page":false,"language":"he","project":"wikipedia","id":53404707,"wiki":"hewiki","namespace":10,"comment":"bot","minor":true,"patrolled":true,"revision_old":28682248,"revision_new":28826355}"#,
    ),
    Sample(
        "a new page, whose old side is missing",
        r#"{"$schema":"/mediawiki/recentchange/1.0.0","meta":{"domain":"de.wikipedia.org"},"id":7,"type":"new","namespace":0,"title":"Seegrund","comment":"neu","timestamp":1705334401,"user":"Ute","bot":false,"minor":false,"patrolled":false,"length":{"new":3120},"revision":{"new":240000001},"server_name":"de.wikipedia.org","wiki":"dewiki"}"#,
        r#"{"timestamp":1705334401,"user":"Ute","title":"Seegrund","server_name":"de.wikipedia.org","type":"new","bytes_changed":3120,"is_bot":false,"is_new_page":true,"language":"de","project":"wikipedia","id":7,"wiki":"dewiki","namespace":0,"comment":"neu","minor":false,"patrolled":false,"revision_new":240000001}"#,
    ),
    Sample(
        "a new page, whose old side is null",
        r#"{"$schema":"/mediawiki/recentchange/1.0.0","meta":{},"type":"new","title":"湖","timestamp":1705334402,"user":"太郎","bot":false,"length":{"old":null,"new":88},"revision":{"old":null,"new":98},"server_name":"ja.wiktionary.org","wiki":"jawiktionary"}"#,
        r#"{"timestamp":1705334402,"user":"太郎","title":"湖","server_name":"ja.wiktionary.org","type":"new","bytes_changed":88,"is_bot":false,"is_new_page":true,"language":"ja","project":"wiktionary","wiki":"jawiktionary","revision_old":null,"revision_new":98}"#,
    ),
    Sample(
        "a page moved: a log event, without length, revision, minor or patrolled",
        r#"{"$schema":"/mediawiki/recentchange/1.0.0","meta":{"domain":"fr.wikipedia.org"},"id":8,"type":"log","namespace":0,"title":"Lac","comment":"titre","timestamp":1705334403,"user":"Élise","bot":false,"log_id":21,"log_type":"move","log_action":"move","log_params":{"target":"Lac (géographie)","noredir":"0"},"log_action_comment":"moved","server_name":"fr.wikipedia.org","wiki":"frwiki"}"#,
        r#"{"timestamp":1705334403,"user":"Élise","title":"Lac","server_name":"fr.wikipedia.org","type":"log","bytes_changed":null,"is_bot":false,"is_new_page":false,"language":"fr","project":"wikipedia","log_params":{"target":"Lac (géographie)","noredir":"0"},"id":8,"wiki":"frwiki","namespace":0,"comment":"titre"}"#,
    ),
    Sample(
        "a block, its nested parameters and numbers untouched",
        r#"{"$schema":"/mediawiki/recentchange/1.0.0","meta":{},"type":"log","timestamp":1705334404,"bot":false,"log_params":{"duration": "infinite", "sitewide":true,"n":[1.50,1e400,-0,123456789012345678901234567890,{"a":[]}]},"server_name":"en.wikipedia.org","wiki":"enwiki"}"#,
        r#"{"timestamp":1705334404,"server_name":"en.wikipedia.org","type":"log","bytes_changed":null,"is_bot":false,"is_new_page":false,"language":"en","project":"wikipedia","log_params":{"duration": "infinite", "sitewide":true,"n":[1.50,1e400,-0,123456789012345678901234567890,{"a":[]}]},"wiki":"enwiki"}"#,
    ),
    Sample(
        "parameters of a log event that are a list",
        r#"{"$schema":"/mediawiki/recentchange/1.0.0","meta":{},"type":"log","timestamp":1705334405,"log_params":[],"server_name":"en.wikipedia.org"}"#,
        r#"{"timestamp":1705334405,"server_name":"en.wikipedia.org","type":"log","bytes_changed":null,"is_new_page":false,"language":"en","project":"wikipedia","log_params":[]}"#,
    ),
    Sample(
        "a page put into a category",
        r#"{"$schema":"/mediawiki/recentchange/1.0.0","meta":{"domain":"commons.wikimedia.org"},"id":201307606,"type":"categorize","namespace":14,"title":"Category:Lakes","comment":"[[:File:Lake.jpg]] added to category","timestamp":1456759695,"user":"Wieralee","bot":false,"server_url":"https://commons.wikimedia.org","server_name":"commons.wikimedia.org","server_script_path":"/w","wiki":"commonswiki","parsedcomment":""}"#,
        r#"{"timestamp":1456759695,"user":"Wieralee","title":"Category:Lakes","server_name":"commons.wikimedia.org","type":"categorize","bytes_changed":null,"is_bot":false,"is_new_page":false,"language":"commons","project":"wikimedia","id":201307606,"wiki":"commonswiki","namespace":14,"comment":"[[:File:Lake.jpg]] added to category"}"#,
    ),
    Sample(
        "Wikidata, which has no language",
        r#"{"$schema":"/mediawiki/recentchange/1.0.0","meta":{"domain":"www.wikidata.org","stream":"mediawiki.recentchange"},"id":2269316348,"type":"edit","namespace":0,"title":"Q87263831","comment":"/* wbeditentity-update-languages-short:0||es */","timestamp":1720931936,"user":"Emijrpbot","bot":true,"minor":false,"patrolled":true,"length":{"old":24798,"new":24894},"revision":{"old":1824898307,"new":2203732266},"server_name":"www.wikidata.org","wiki":"wikidatawiki"}"#,
        r#"{"timestamp":1720931936,"user":"Emijrpbot","title":"Q87263831","server_name":"www.wikidata.org","type":"edit","bytes_changed":96,"is_bot":true,"is_new_page":false,"language":null,"project":"wikidata","id":2269316348,"wiki":"wikidatawiki","namespace":0,"comment":"/* wbeditentity-update-languages-short:0||es */","minor":false,"patrolled":true,"revision_old":1824898307,"revision_new":2203732266}"#,
    ),
    Sample(
        "the longest revisions and lengths",
        r#"{"$schema":"/mediawiki/recentchange/1.0.0","meta":{},"type":"edit","timestamp":1705334406,"length":{"old":9223372036854775807,"new":-9223372036854775808},"revision":{"old":18446744073709551615,"new":99999999999999999999999},"server_name":"en.wikipedia.org"}"#,
        r#"{"timestamp":1705334406,"server_name":"en.wikipedia.org","type":"edit","bytes_changed":-18446744073709551615,"is_new_page":false,"language":"en","project":"wikipedia","revision_old":18446744073709551615,"revision_new":99999999999999999999999}"#,
    ),
    Sample(
        "lengths that no computer has",
        r#"{"$schema":"/mediawiki/recentchange/1.0.0","meta":{},"type":"edit","timestamp":1,"length":{"old":99999999999999999999999999999999999999999999,"new":1}}"#,
        r#"{"timestamp":1,"type":"edit","bytes_changed":null,"is_new_page":false,"language":null,"project":null}"#,
    ),
    Sample(
        "a length that is null, a revision that is null",
        r#"{"$schema":"/mediawiki/recentchange/1.0.0","meta":{},"type":"edit","timestamp":1705334407,"length":null,"revision":null,"server_name":"en.wikipedia.org"}"#,
        r#"{"timestamp":1705334407,"server_name":"en.wikipedia.org","type":"edit","bytes_changed":null,"is_new_page":false,"language":"en","project":"wikipedia"}"#,
    ),
    Sample(
        "a length with neither side, and a page emptied",
        r#"{"$schema":"/mediawiki/recentchange/1.0.0","meta":{},"type":"edit","timestamp":1705334408,"length":{},"server_name":"en.wikipedia.org"}"#,
        r#"{"timestamp":1705334408,"server_name":"en.wikipedia.org","type":"edit","bytes_changed":0,"is_new_page":false,"language":"en","project":"wikipedia"}"#,
    ),
    Sample(
        "a new side that is missing",
        r#"{"$schema":"/mediawiki/recentchange/1.0.0","meta":{},"type":"edit","timestamp":1705334409,"length":{"old":12},"server_name":"en.wikipedia.org"}"#,
        r#"{"timestamp":1705334409,"server_name":"en.wikipedia.org","type":"edit","bytes_changed":-12,"is_new_page":false,"language":"en","project":"wikipedia"}"#,
    ),
    Sample(
        "a server name of one label",
        r#"{"$schema":"/mediawiki/recentchange/1.0.0","meta":{},"type":"edit","timestamp":1705334410,"user":null,"bot":null,"server_name":"localhost"}"#,
        r#"{"timestamp":1705334410,"user":null,"server_name":"localhost","type":"edit","bytes_changed":null,"is_bot":null,"is_new_page":false,"language":"localhost","project":null}"#,
    ),
    Sample(
        "a server name whose labels need escapes",
        r#"{"$schema":"/mediawiki/recentchange/1.0.0","meta":{},"type":"n\u0065w","timestamp":1705334411,"server_name":"a\"b.\\c.org"}"#,
        r#"{"timestamp":1705334411,"server_name":"a\"b.\\c.org","type":"n\u0065w","bytes_changed":null,"is_new_page":true,"language":"a\"b","project":"\\c"}"#,
    ),
    Sample(
        "a recording from before there was $schema",
        r#"{"meta":{"schema_uri":"mediawiki/recentchange/2","topic":"eqiad.mediawiki.recentchange","domain":"ru.wikipedia.org"},"bot":false,"type":"edit","timestamp":1529020800,"user":"Иван","length":{"new":9,"old":5},"server_name":"ru.wikipedia.org","wiki":"ruwiki"}"#,
        r#"{"timestamp":1529020800,"user":"Иван","server_name":"ru.wikipedia.org","type":"edit","bytes_changed":4,"is_bot":false,"is_new_page":false,"language":"ru","project":"wikipedia","wiki":"ruwiki"}"#,
    ),
    Sample(
        "no name of a schema at all, but the shape",
        r#"{ "meta" : {"domain":"ar.wikipedia.org"}, "bot" : true , "type":"edit", "timestamp": 1529020801, "server_name": "ar.wikipedia.org", "wiki": "arwiki" }"#,
        r#"{"timestamp":1529020801,"server_name":"ar.wikipedia.org","type":"edit","bytes_changed":null,"is_bot":true,"is_new_page":false,"language":"ar","project":"wikipedia","wiki":"arwiki"}"#,
    ),
    Sample(
        "a name that comes twice: the last counts",
        r#"{"$schema":"/mediawiki/recentchange/1.0.0","title":"a","t\u0069tle":"b","timestamp":1529020802}"#,
        r#"{"timestamp":1529020802,"title":"b","bytes_changed":null,"is_new_page":false,"language":null,"project":null}"#,
    ),
];

#[test]
fn samples_are_mapped() {
    for Sample(what, change, expected) in SAMPLES {
        let Recognition::Change(event) = recognise(change.as_bytes()) else {
            panic!("{what} is not recognised");
        };
        assert_eq!(String::from_utf8_lossy(&event), expected, "{what}");
        assert!(serde_json::from_slice::<Box<RawValue>>(&event).is_ok(), "{what}");
        assert_eq!(recognise(&event), Recognition::Other, "{what}: mapped twice");
    }
}

#[test]
fn canaries_are_told_apart() {
    let canary = r#"{"$schema":"/mediawiki/recentchange/1.0.0","meta":{"domain":"canary","dt":"2024-01-15T16:00:01Z","stream":"mediawiki.recentchange"},"type":"edit","timestamp":1705334400,"server_name":"canary","wiki":"canary"}"#;
    assert_eq!(recognise(canary.as_bytes()), Recognition::Canary);
    let escaped = canary.replacen("canary", "c\\u0061nary", 1);
    assert_eq!(recognise(escaped.as_bytes()), Recognition::Canary);
}

#[test]
fn what_is_no_recent_change_is_not_mapped() {
    for other in [
        r#"{"$schema":"/mediawiki/revision/create/2.0.0","meta":{"stream":"mediawiki.revision-create"},"server_name":"x","wiki":"x","type":"x"}"#,
        r#"{"$schema":5,"meta":{},"server_name":"x","wiki":"x","type":"x"}"#,
        r#"{"meta":{},"server_name":"x","wiki":"x"}"#,
        r#"{"meta":"recentchange","server_name":"x","wiki":"x","type":"x"}"#,
        r#"{"server_name":"x","wiki":"x","type":"x","bot":false}"#,
        r#"{"$schema":"/mediawiki/recentchange/1.0.0","is_bot":false}"#,
        r#"{}"#,
        r#""recentchange""#,
    ] {
        assert_eq!(recognise(other.as_bytes()), Recognition::Other, "{other}");
    }
}

proptest! {
    #[test]
    fn growth_is_exact(old in any::<i64>(), new in any::<i64>()) {
        let change = format!(r#"{{"$schema":"recentchange","length":{{"old":{old},"new":{new}}}}}"#);
        let Recognition::Change(event) = recognise(change.as_bytes()) else {
            panic!("not recognised");
        };
        let expected = format!("{{\"bytes_changed\":{},", i128::from(new) - i128::from(old));
        prop_assert!(String::from_utf8_lossy(&event).starts_with(&expected));
    }

    #[test]
    fn labels_survive(server_name in "\\PC{0,30}") {
        let change = serde_json::json!({"$schema": "recentchange", "server_name": server_name}).to_string();
        let Recognition::Change(event) = recognise(change.as_bytes()) else {
            panic!("not recognised");
        };
        let event: serde_json::Value = serde_json::from_slice(&event).unwrap();
        let mut labels = server_name.split('.').map(|label| (!label.is_empty()).then_some(label));
        let language = labels.next().flatten().filter(|label| *label != "www");
        prop_assert_eq!(event["language"].as_str(), language);
        prop_assert_eq!(event["project"].as_str(), labels.next().flatten());
    }
}
