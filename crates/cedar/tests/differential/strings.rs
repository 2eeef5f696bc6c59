//! The strings that worlds are made of: odd ids and names, texts of extension values near the edge
//! of what is valid, and their spelling in policies.

use super::choices::Choices;

/// The four extension types.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Extension {
    Ip,
    Decimal,
    Datetime,
    Duration,
}

pub(crate) const EXTENSIONS: [Extension; 4] =
    [Extension::Ip, Extension::Decimal, Extension::Datetime, Extension::Duration];

impl Extension {
    /// Its constructor, and the name of its type in schemas (which for addresses is another).
    pub(crate) fn constructor(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Decimal => "decimal",
            Self::Datetime => "datetime",
            Self::Duration => "duration",
        }
    }

    pub(crate) fn type_name(self) -> &'static str {
        if self == Self::Ip { "ipaddr" } else { self.constructor() }
    }

    /// Texts that its constructor takes.
    pub(crate) fn good(self) -> &'static [&'static str] {
        match self {
            Self::Ip => IP_GOOD,
            Self::Decimal => DECIMAL_GOOD,
            Self::Datetime => DATETIME_GOOD,
            Self::Duration => DURATION_GOOD,
        }
    }

    /// Texts that it refuses, or takes only by a hair.
    pub(crate) fn edge(self) -> &'static [&'static str] {
        match self {
            Self::Ip => IP_EDGE,
            Self::Decimal => DECIMAL_EDGE,
            Self::Datetime => DATETIME_EDGE,
            Self::Duration => DURATION_EDGE,
        }
    }

    /// A text that may be good, near the edge, or a good one with a character changed.
    pub(crate) fn text(self, choices: &mut Choices<'_>) -> String {
        match choices.weighted(&[6, 3, 2]) {
            0 => (*choices.pick(self.good())).to_owned(),
            1 => (*choices.pick(self.edge())).to_owned(),
            _ => {
                let good = *choices.pick(self.good());
                mutated(good, choices)
            }
        }
    }
}

fn mutated(text: &str, choices: &mut Choices<'_>) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    let at = choices.below(letters.len());
    match choices.below(4) {
        0 => drop(letters.remove(at)),
        1 => letters.insert(at, letters[at]),
        2 => letters.insert(at, *choices.pick(&MUTANTS)),
        _ => letters[at] = *choices.pick(&MUTANTS),
    }
    letters.into_iter().collect()
}

const MUTANTS: [char; 18] =
    ['0', '1', '9', '-', '+', '.', ':', '/', 'T', 'Z', 'd', 'm', 's', 'f', ' ', '\n', '٣', 'é'];

const IP_GOOD: &[&str] = &[
    "10.0.0.1",
    "10.0.0.0/8",
    "10.0.0.1/8",
    "10.0.0.1/32",
    "10.1.0.0/16",
    "127.0.0.1",
    "127.0.0.0/8",
    "127.0.0.1/7",
    "0.0.0.0/0",
    "224.0.0.1",
    "224.0.0.0/4",
    "239.255.255.255/3",
    "255.255.255.255",
    "::1",
    "::1/127",
    "::",
    "::/0",
    "ff00::/8",
    "ff02::1",
    "ff02::1/7",
    "2001:db8::1",
    "2001:DB8:0:0:0:0:0:1",
    "2001:db8::/32",
    "2001:db8::1/128",
    "::ffff:7f00:1",
];
const IP_EDGE: &[&str] = &[
    "10.0.0.1/33",
    "10.0.0.1/08",
    "10.0.0.1/00",
    "10.0.0.1/",
    "10.0.0.1/+8",
    "10.0.0.1/-1",
    "010.0.0.1",
    "10.0.0",
    "10.0.0.256",
    "10.0.0.1:80",
    "::1/129",
    "::1/0128",
    "::1/0",
    "::ffff:127.0.0.1",
    "::127.0.0.1",
    "fe80::1%eth0",
    "[::1]",
    "1:2:3:4:5:6:7:8:9",
    "1:2:3:4:5:6:7::",
    "ABCD:EF01:2345:6789:ABCD:EF01:2345:6789/128",
    "ABCD:EF01:2345:6789:ABCD:EF01:2345:06789/128",
    " 10.0.0.1",
    "",
];
const DECIMAL_GOOD: &[&str] = &[
    "0.0",
    "1.0",
    "1.00",
    "1.0000",
    "01.0",
    "1.5",
    "-1.5",
    "-0.5",
    "-0.0",
    "0.0001",
    "-0.0001",
    "12.3400",
    "922337203685477.5807",
    "-922337203685477.5808",
];
const DECIMAL_EDGE: &[&str] = &[
    "922337203685477.5808",
    "-922337203685477.5809",
    "922337203685478.0",
    "-922337203685478.0",
    "9223372036854775807.0",
    "9223372036854775808.0",
    "1.00000",
    "1.",
    ".5",
    "1",
    "+1.0",
    "--1.0",
    "-.5",
    "1.-5",
    "1e3",
    "1,5",
    "٣.٣",
    "1.0\n",
    "",
    "0000000000000000000000001.0",
];
const DATETIME_GOOD: &[&str] = &[
    "1970-01-01",
    "1970-01-01T00:00:00Z",
    "1970-01-01T00:00:00.000Z",
    "1970-01-01T07:00:00+0700",
    "2024-02-29",
    "2024-02-29T23:59:59.999Z",
    "2024-12-31T23:59:59+2359",
    "2024-12-31T23:59:59-2359",
    "1969-12-31",
    "1969-12-31T23:59:59.999Z",
    "0000-01-01",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999Z",
    "2026-11-21T12:30:00Z",
    "2026-11-21T12:30:00.001+0700",
    "1900-03-01",
];
const DATETIME_EDGE: &[&str] = &[
    "2023-02-29",
    "1900-02-29",
    "2024-13-01",
    "2024-00-01",
    "2024-01-00",
    "2024-04-31",
    "2024-01-01T24:00:00Z",
    "2024-01-01T23:60:00Z",
    "2024-01-01T23:59:60Z",
    "2024-01-01T23:59:59",
    "2024-01-01T23:59:59.99Z",
    "2024-01-01T23:59:59.9999Z",
    "2024-01-01T23:59:59+2400",
    "2024-01-01T23:59:59+0060",
    "2024-01-01T23:59:59+07:00",
    "2024-01-01T23:59:59z",
    "2024-01-01 23:59:59Z",
    "2024-01-01Z",
    "2024-1-1",
    "12024-01-01",
    "-2024-01-01",
    "2024-01-01\n",
    "2024-01-01T00:00:00Z\n",
    "2024-01-01T00:00:00-0000",
    "٢٠٢٤-01-01",
    "",
];
const DURATION_GOOD: &[&str] = &[
    "0ms",
    "1ms",
    "-1ms",
    "1s",
    "1000ms",
    "1m",
    "60s",
    "1h",
    "1d",
    "-1d",
    "24h",
    "1d2h3m4s5ms",
    "-1d2h3m4s5ms",
    "1d5ms",
    "365d",
    "0d",
    "-0s",
    "9223372036854775807ms",
    "-9223372036854775808ms",
    "106751991167d",
];
const DURATION_EDGE: &[&str] = &[
    "9223372036854775808ms",
    "-9223372036854775809ms",
    "106751991168d",
    "-106751991168d",
    "106751991167d7h12m55s807ms",
    "106751991167d7h12m55s808ms",
    "-106751991167d7h12m55s808ms",
    "-106751991167d7h12m55s809ms",
    "99999999999999999999d",
    "18446744073709551615ms",
    "1s1m",
    "1d1d",
    "1",
    "d",
    "-",
    "",
    "+1d",
    "1 d",
    "1.5h",
    "1D",
    "--1d",
    "1d-1h",
    "00000000000000000000000001s",
];

/// Strings for values and ids: none longer than a screen, all of them awkward in some way.
pub(crate) const PLAIN: &[&str] = &[
    "a",
    "b",
    "",
    "read",
    "Health",
    "health",
    "a*b",
    "*",
    "a b",
    "văn bản",
    "ấ",
    "a\u{302}\u{301}",
    "日本",
    "👩‍👧",
    "\"quoted\"",
    "back\\slash",
    "line\nbreak",
    "tab\tand\r",
    "nul\0",
    "it's",
    "\\*",
    "User::\"a\"",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab",
    // Alike at both ends, and around the lengths at which an engine may treat them otherwise.
    "hồ sơ 000001 cư trú",
    "hồ sơ 000002 cư trú",
    "1234567",
    "12345678",
    "123456789",
    "1234567812345678",
    "1234567912345678",
    "12345678112345678",
    "12345678212345678",
    "\0\0",
];

/// Names of attributes that need no quotes.
pub(crate) const NAMES: &[&str] = &[
    "purpose",
    "kind",
    "level",
    "owner",
    "active",
    "address",
    "price",
    "since",
    "left",
    "groups",
    "detail",
    "note",
    "id",
    "type",
    "uid",
    "ip",
    "principal",
    "when",
    "has_more",
    "_x",
];

/// Names of attributes that need quotes, or do where they are reserved.
pub(crate) const QUOTED: &[&str] =
    &["first name", "", "họ tên", "if", "in", "true", "a.b", "\"", "0", "line\n", "*", "like"];

/// A string as a literal of a policy, sometimes with more escapes than it needs.
pub(crate) fn literal(text: &str, choices: &mut Choices<'_>) -> String {
    let mut out = String::from('"');
    text.chars().for_each(|letter| spell(letter, choices, &mut out));
    out.push('"');
    out
}

fn spell(letter: char, choices: &mut Choices<'_>, out: &mut String) {
    match letter {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\0' => out.push_str("\\0"),
        '\r' => out.push_str("\\r"),
        '\n' | '\t' if choices.percent(70) => out.extend(letter.escape_default()),
        _ if choices.percent(3) => out.push_str(&format!("\\u{{{:x}}}", u32::from(letter))),
        _ => out.push(letter),
    }
}

/// A pattern for `like` that is made from a string, so that it often matches that string.
pub(crate) fn pattern(text: &str, choices: &mut Choices<'_>) -> String {
    let mut out = String::from('"');
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match choices.weighted(&[12, 2, 2, 1]) {
            0 if letter == '*' => out.push_str("\\*"),
            0 => spell(letter, choices, &mut out),
            1 => {
                out.push('*');
                let skipped = choices.below(4);
                letters.by_ref().take(skipped).for_each(drop);
            }
            2 => out.push_str("**"),
            _ => out.push('b'),
        }
    }
    if choices.percent(20) {
        out.push('*');
    }
    out.push('"');
    out
}
