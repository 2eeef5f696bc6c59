//! Provinces and communes. The 34 provinces are those since 01/07/2025; the communes are made up,
//! with codes that no real commune has.

use super::random::Random;
use crate::proto::population::v1::Place;

/// A province or centrally run city.
#[derive(Debug)]
pub(crate) struct Province {
    /// Two digits.
    pub(crate) code: &'static str,
    pub(crate) name: &'static str,
    /// Agency code of its people's committee.
    pub(crate) agency: &'static str,
    /// Inhabitants in thousands.
    weight: u32,
    /// Where surnames are spelt the southern way.
    pub(crate) south: bool,
    /// Peoples other than Kinh, per mille of the inhabitants.
    minorities: &'static [(&'static str, u32)],
}

#[rustfmt::skip]
static PROVINCES: [Province; 34] = [
    province("01", "Thành phố Hà Nội", "H26", 8807, false, &[("Mường", 8)]),
    province("04", "Cao Bằng", "H14", 573, false, &[("Tày", 410), ("Nùng", 300), ("Mông", 110), ("Dao", 100)]),
    province("08", "Tuyên Quang", "H60", 1865, false, &[("Tày", 260), ("Mông", 200), ("Dao", 140), ("Nùng", 60)]),
    province("11", "Điện Biên", "H18", 673, false, &[("Mông", 380), ("Thái", 350)]),
    province("12", "Lai Châu", "H35", 512, false, &[("Thái", 310), ("Mông", 240), ("Dao", 130)]),
    province("14", "Sơn La", "H52", 1404, false, &[("Thái", 530), ("Mông", 160), ("Mường", 70)]),
    province("15", "Lào Cai", "H38", 1778, false, &[("Mông", 170), ("Tày", 170), ("Dao", 120), ("Thái", 40)]),
    province("19", "Thái Nguyên", "H55", 1799, false, &[("Tày", 190), ("Nùng", 60), ("Dao", 40)]),
    province("20", "Lạng Sơn", "H37", 881, false, &[("Nùng", 420), ("Tày", 350), ("Dao", 30)]),
    province("22", "Quảng Ninh", "H49", 1497, false, &[("Dao", 50), ("Tày", 30)]),
    province("24", "Bắc Ninh", "H05", 3619, false, &[("Nùng", 30), ("Tày", 20)]),
    province("25", "Phú Thọ", "H44", 4022, false, &[("Mường", 210)]),
    province("31", "Thành phố Hải Phòng", "H24", 4664, false, &[]),
    province("33", "Hưng Yên", "H31", 3567, false, &[]),
    province("37", "Ninh Bình", "H42", 4412, false, &[("Mường", 7)]),
    province("38", "Thanh Hóa", "H56", 4324, false, &[("Mường", 100), ("Thái", 60)]),
    province("40", "Nghệ An", "H41", 3831, false, &[("Thái", 100), ("Mông", 10)]),
    province("42", "Hà Tĩnh", "H27", 1622, false, &[]),
    province("44", "Quảng Trị", "H50", 1870, false, &[("Bru - Vân Kiều", 50)]),
    province("46", "Thành phố Huế", "H57", 1432, false, &[("Cơ Tu", 15)]),
    province("48", "Thành phố Đà Nẵng", "H17", 3065, true, &[("Cơ Tu", 20)]),
    province("51", "Quảng Ngãi", "H48", 2161, true, &[("Xơ Đăng", 90), ("Ba Na", 30)]),
    province("52", "Gia Lai", "H21", 3583, true, &[("Gia Rai", 140), ("Ba Na", 80)]),
    province("56", "Khánh Hòa", "H32", 2243, true, &[("Chăm", 40)]),
    province("66", "Đắk Lắk", "H15", 3346, true, &[("Ê Đê", 120), ("Nùng", 30), ("Tày", 20)]),
    province("68", "Lâm Đồng", "H36", 3872, true, &[("Nùng", 20), ("Tày", 15)]),
    province("75", "Đồng Nai", "H19", 4491, true, &[("Hoa", 25), ("Tày", 10)]),
    province("79", "Thành phố Hồ Chí Minh", "H29", 14002, true, &[("Hoa", 40)]),
    province("80", "Tây Ninh", "H53", 3254, true, &[("Khmer", 8)]),
    province("82", "Đồng Tháp", "H20", 4370, true, &[]),
    province("86", "Vĩnh Long", "H61", 4257, true, &[("Khmer", 80)]),
    province("91", "An Giang", "H01", 4952, true, &[("Khmer", 60), ("Chăm", 3)]),
    province("92", "Thành phố Cần Thơ", "H13", 4199, true, &[("Khmer", 95), ("Hoa", 15)]),
    province("96", "Cà Mau", "H12", 2606, true, &[("Khmer", 40)]),
];

const fn province(
    code: &'static str,
    name: &'static str,
    agency: &'static str,
    weight: u32,
    south: bool,
    minorities: &'static [(&'static str, u32)],
) -> Province {
    Province { code, name, agency, weight, south, minorities }
}

const FIRST_SYLLABLES: [&str; 18] = [
    "Tân", "An", "Bình", "Phú", "Hòa", "Long", "Vĩnh", "Đông", "Thanh", "Mỹ", "Thạnh", "Yên",
    "Hưng", "Quảng", "Xuân", "Nam", "Kim", "Hải",
];

const SECOND_SYLLABLES: [&str; 11] =
    ["Lợi", "Thịnh", "Sơn", "Thành", "Lộc", "Khánh", "Giang", "Đức", "Thọ", "Phước", "Châu"];

const STREETS: [&str; 16] = [
    "Trần Phú",
    "Lê Lợi",
    "Nguyễn Huệ",
    "Hai Bà Trưng",
    "Lý Thường Kiệt",
    "Quang Trung",
    "Phan Chu Trinh",
    "Ngô Quyền",
    "Hùng Vương",
    "Điện Biên Phủ",
    "Lê Duẩn",
    "Trần Hưng Đạo",
    "Nguyễn Trãi",
    "Phan Bội Châu",
    "Hoàng Diệu",
    "Lê Hồng Phong",
];

/// No real commune code lies above this.
const COMMUNE_CODE_BASE: usize = 50_000;
/// Room for the communes of one province.
const COMMUNES_MAX: usize = 180;

/// Where a household lives.
pub(crate) struct Home {
    pub(crate) province: &'static Province,
    pub(crate) place: Place,
}

/// Draws a home; provinces by their number of inhabitants.
pub(crate) fn home(random: &mut Random) -> Home {
    let (ordinal, province) = pick_province(random);
    let commune = random.below(communes(province)) as usize;
    let ward = commune.is_multiple_of(3);
    let address = if ward {
        let street = random.pick(&STREETS);
        format!("số {}, đường {street}", random.between(1, 400))
    } else {
        format!("{} {}", if province.south { "ấp" } else { "thôn" }, random.between(1, 14))
    };
    Home { province, place: place(ordinal, province, commune, address) }
}

/// Draws a people; most inhabitants are Kinh.
pub(crate) fn ethnicity(random: &mut Random, province: &Province) -> &'static str {
    let others: u32 = province.minorities.iter().map(|(_, share)| share).sum();
    if !random.per_mille(others) {
        return "Kinh";
    }
    random.pick_weighted(province.minorities).copied().unwrap_or("Kinh")
}

fn pick_province(random: &mut Random) -> (usize, &'static Province) {
    let total = PROVINCES.iter().map(|province| province.weight).sum();
    let mut left = random.below(total);
    for (ordinal, province) in PROVINCES.iter().enumerate() {
        match left.checked_sub(province.weight) {
            Some(rest) => left = rest,
            None => return (ordinal, province),
        }
    }
    let [first, ..] = &PROVINCES;
    (0, first)
}

fn communes(province: &Province) -> u32 {
    (50 + province.weight / 90).min(COMMUNES_MAX as u32)
}

fn place(ordinal: usize, province: &Province, commune: usize, address: String) -> Place {
    let kind = if commune.is_multiple_of(3) { "phường" } else { "xã" };
    let first = FIRST_SYLLABLES.iter().cycle().nth(commune).copied().unwrap_or_default();
    let round = commune / FIRST_SYLLABLES.len() + ordinal;
    let second = SECOND_SYLLABLES.iter().cycle().nth(round).copied().unwrap_or_default();
    Place {
        province_code: province.code.into(),
        province_name: province.name.into(),
        commune_code: (COMMUNE_CODE_BASE + ordinal * COMMUNES_MAX + commune).to_string(),
        commune_name: format!("{kind} {first} {second}"),
        address,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn provinces_have_their_own_codes() {
        let codes: HashSet<_> = PROVINCES.iter().map(|province| province.code).collect();
        let agencies: HashSet<_> = PROVINCES.iter().map(|province| province.agency).collect();
        assert_eq!((codes.len(), agencies.len()), (34, 34));
        assert!(codes.iter().all(|code| code.len() == 2));
    }

    #[test]
    fn communes_have_their_own_codes_and_names() {
        let mut codes = HashSet::new();
        for (ordinal, province) in PROVINCES.iter().enumerate() {
            let mut names = HashSet::new();
            for commune in 0..communes(province) as usize {
                let place = place(ordinal, province, commune, String::new());
                assert_eq!(place.commune_code.len(), 5);
                assert!(codes.insert(place.commune_code));
                assert!(names.insert(place.commune_name));
            }
        }
    }
}
