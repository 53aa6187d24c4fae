//! The wikis, users and words that a generated day is made of.

/// One wiki.
pub struct Wiki {
    /// Its server.
    pub server_name: &'static str,
    /// Its database.
    pub wiki: &'static str,
    /// Its share of the events, against the sum of all shares.
    pub share: u64,
    /// Bots' share of its events, in per cent.
    pub bots: u64,
    /// What its titles look like.
    pub titles: Titles,
}

/// What the titles of a wiki are made of.
#[derive(Debug, Clone, Copy)]
pub enum Titles {
    /// Words, one or more.
    Words(&'static [&'static str]),
    /// Files, named with such words.
    Files(&'static [&'static str]),
    /// Numbered items.
    Items,
}

/// The larger wikis, each named.
pub const WIKIS: [Wiki; 14] = [
    wiki("en.wikipedia.org", "enwiki", 290, 12, Titles::Words(LATIN)),
    wiki("www.wikidata.org", "wikidatawiki", 220, 58, Titles::Items),
    wiki("commons.wikimedia.org", "commonswiki", 140, 35, Titles::Files(FILES)),
    wiki("de.wikipedia.org", "dewiki", 50, 6, Titles::Words(GERMAN)),
    wiki("fr.wikipedia.org", "frwiki", 48, 18, Titles::Words(FRENCH)),
    wiki("ru.wikipedia.org", "ruwiki", 40, 10, Titles::Words(CYRILLIC)),
    wiki("zh.wikipedia.org", "zhwiki", 34, 8, Titles::Words(CHINESE)),
    wiki("ja.wikipedia.org", "jawiki", 34, 4, Titles::Words(JAPANESE)),
    wiki("es.wikipedia.org", "eswiki", 34, 14, Titles::Words(LATIN)),
    wiki("ar.wikipedia.org", "arwiki", 24, 40, Titles::Words(ARABIC)),
    wiki("sr.wikipedia.org", "srwiki", 14, 45, Titles::Words(SERBIAN)),
    wiki("en.wiktionary.org", "enwiktionary", 16, 30, Titles::Words(LATIN)),
    wiki("fr.wikisource.org", "frwikisource", 10, 5, Titles::Words(FRENCH)),
    wiki("www.mediawiki.org", "mediawikiwiki", 6, 20, Titles::Words(LATIN)),
];

/// The share of the many small wikis together, beside the shares of [`WIKIS`].
pub const SMALL_WIKIS_SHARE: u64 = 90;
/// Languages of the small wikis, the larger first.
pub const SMALL_LANGUAGES: [&str; 24] = [
    "it",
    "pl",
    "pt",
    "uk",
    "nl",
    "sv",
    "fa",
    "ko",
    "cs",
    "fi",
    "hu",
    "tr",
    "vi",
    "he",
    "id",
    "ca",
    "el",
    "hi",
    "th",
    "ro",
    "da",
    "no",
    "eu",
    "zh-min-nan",
];
/// Projects of the small wikis, and how their databases end.
pub const SMALL_PROJECTS: [(&str, &str); 5] = [
    ("wikipedia", "wiki"),
    ("wiktionary", "wiktionary"),
    ("wikisource", "wikisource"),
    ("wikiquote", "wikiquote"),
    ("wikibooks", "wikibooks"),
];

/// Bots, the busiest first.
pub const BOTS: [&str; 12] = [
    "SchlurcherBot",
    "KrBot",
    "Emijrpbot",
    "InternetArchiveBot",
    "ListeriaBot",
    "Citation bot",
    "MalnadachBot",
    "Бот Обнова",
    "مرشحات بوت",
    "自動巡回Bot",
    "FlickreviewR 2",
    "Zoë's \"quoting\" bot\\2",
];

/// Names of people, the busiest first; more are made by adding numbers.
pub const PEOPLE: [&str; 32] = [
    "Ser Amantio",
    "Lúthien T.",
    "Jürgen Groß",
    "Élodie-75",
    "Мария Иванова",
    "Никола Петровић",
    "王小明",
    "さくら花子",
    "محمد الكاتب",
    "John",
    "Żółw Błotny",
    "O'Brien & Sons",
    "İlker",
    "नेहा",
    "김민준",
    "ΑθηνάΚ",
    "דוד",
    "Nguyễn Ánh",
    "Lake*Bed",
    "Renée~enwiki",
    "Пользователь 7",
    "💧Droplet",
    "A. N. Other",
    "Ivo_van_der_Meer",
    "Böðvar",
    "Ōmi",
    "สมชาย",
    "Crème brûlée",
    "e\u{301}tude",
    "Łucja",
    "Ñandú",
    "Ştefan",
];

/// What edits are said to be for.
pub const COMMENTS: [&str; 10] = [
    "",
    "/* History */ source added",
    "typo",
    "Reverted edits by [[Special:Contributions/192.0.2.7|192.0.2.7]]",
    "/* wbsetclaim-create:2||1 */ [[Property:P625]]",
    "Literatur ergänzt",
    "исправление",
    "加入參考資料",
    "إضافة مصدر",
    "\"quoted\" \\ back\tslash 🙂",
];

const fn wiki(server_name: &'static str, wiki: &'static str, share: u64, bots: u64, titles: Titles) -> Wiki {
    Wiki {
        server_name,
        wiki,
        share,
        bots,
        titles,
    }
}

/// Words of titles where no other script is at home.
pub const LATIN: &[&str] = &[
    "Lake",
    "River",
    "History",
    "Python",
    "Caf\u{e9}",
    "1984",
    "Bridge",
    "Ångström",
    "List",
    "Season",
    "Music",
    "Saint",
    "AC/DC",
    "Battle",
    "North",
    "Museum",
];
const FILES: &[&str] = &[
    "Lake at dawn",
    "DSC 0042",
    "Карта",
    "湖の写真",
    "Map of the river",
    "Église",
    "Sé do Porto",
];
const GERMAN: &[&str] = &[
    "See",
    "Straße",
    "Köln",
    "Geschichte",
    "Fußball",
    "Brücke",
    "Übersicht",
    "Müller",
];
const FRENCH: &[&str] = &[
    "Lac", "Église", "Histoire", "L'Été", "Forêt", "Cœur", "Rivière", "Musée",
];
const CYRILLIC: &[&str] = &["Озеро", "История", "Река", "Москва", "Музей", "Мост", "Список", "Ёлка"];
const SERBIAN: &[&str] = &["Језеро", "Ријека", "Његош", "Београд", "Џез", "Црква", "Мост", "Ђердап"];
const CHINESE: &[&str] = &["湖", "歷史", "北京市", "河流", "博物館", "𠮷野", "列表", "橋"];
const JAPANESE: &[&str] = &["琵琶湖", "歴史", "東京都", "カフェ", "の一覧", "博物館", "さくら", "橋"];
const ARABIC: &[&str] = &["بحيرة", "تاريخ", "القاهرة", "نهر", "متحف", "جسر", "قائمة", "مدينة"];
