//! Vietnamese names, composed from lists. All text is Unicode NFC.

use super::random::Random;
use crate::proto::population::v1::Sex;

/// When a person was born decides which names were in use.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Generation {
    Older,
    Younger,
}

const SURNAMES: [(&str, u32); 30] = [
    ("Nguyễn", 380),
    ("Trần", 110),
    ("Lê", 95),
    ("Phạm", 71),
    ("Hoàng", 51),
    ("Phan", 45),
    ("Vũ", 39),
    ("Trương", 22),
    ("Đặng", 21),
    ("Bùi", 20),
    ("Đỗ", 14),
    ("Hồ", 13),
    ("Ngô", 13),
    ("Dương", 10),
    ("Đinh", 10),
    ("Lý", 8),
    ("Đoàn", 8),
    ("Trịnh", 8),
    ("Mai", 7),
    ("Lương", 7),
    ("Cao", 6),
    ("Lưu", 6),
    ("Đào", 6),
    ("Tạ", 5),
    ("Hà", 5),
    ("Châu", 4),
    ("Tô", 4),
    ("Thái", 4),
    ("Quách", 2),
    ("Kiều", 2),
];

/// Surnames common among the minorities; every other people uses the general list.
const MINORITY_SURNAMES: [(&str, &[(&str, u32)]); 15] = [
    ("Tày", &[("Nông", 5), ("Hoàng", 5), ("Ma", 3), ("Bế", 2), ("Lục", 2), ("Triệu", 1)]),
    ("Nùng", &[("Nông", 5), ("Hoàng", 4), ("Vi", 2), ("Lý", 2), ("Lương", 2), ("Mông", 1)]),
    ("Thái", &[("Lò", 6), ("Quàng", 3), ("Cà", 2), ("Lường", 2), ("Tòng", 2), ("Vi", 2)]),
    ("Mường", &[("Bùi", 6), ("Đinh", 4), ("Quách", 3), ("Hà", 2), ("Bạch", 1)]),
    ("Mông", &[("Giàng", 4), ("Vàng", 4), ("Sùng", 3), ("Thào", 3), ("Lý", 2), ("Hạng", 1)]),
    ("Dao", &[("Bàn", 4), ("Triệu", 4), ("Đặng", 3), ("Lý", 2), ("Phùng", 1)]),
    ("Khmer", &[("Thạch", 4), ("Sơn", 3), ("Kim", 3), ("Danh", 3), ("Lâm", 2), ("Kiên", 1)]),
    ("Hoa", &[("Trần", 3), ("Lâm", 3), ("Quách", 2), ("Trương", 2), ("Mã", 1), ("Phùng", 1)]),
    ("Chăm", &[("Đàng", 3), ("Bá", 2), ("Chế", 2), ("Thành", 1), ("Lưu", 1)]),
    ("Gia Rai", &[("Siu", 4), ("Ksor", 3), ("Rơ Châm", 3), ("Kpă", 2), ("Nay", 2)]),
    ("Ê Đê", &[("Niê", 5), ("Mlô", 3), ("Êban", 2), ("Ayun", 2)]),
    ("Ba Na", &[("Đinh", 5), ("Hồ", 1)]),
    ("Xơ Đăng", &[("Đinh", 3), ("Hồ", 2)]),
    ("Cơ Tu", &[("Alăng", 3), ("Bhling", 2), ("Zơrâm", 2), ("Bríu", 1)]),
    ("Bru - Vân Kiều", &[("Hồ", 1)]),
];

const MALE_MIDDLES: [&str; 22] = [
    "Đức", "Minh", "Quang", "Hữu", "Công", "Đình", "Xuân", "Ngọc", "Thanh", "Quốc", "Anh", "Tuấn",
    "Bảo", "Gia", "Mạnh", "Trọng", "Hoàng", "Duy", "Thành", "Việt", "Trung", "Nhật",
];

const FEMALE_MIDDLES: [&str; 22] = [
    "Ngọc", "Thu", "Minh", "Thanh", "Phương", "Kim", "Hồng", "Bích", "Khánh", "Bảo", "Quỳnh",
    "Diệu", "Thùy", "Hoài", "Mỹ", "Tuyết", "Hải", "Thảo", "Lan", "Như", "Cẩm", "Ánh",
];

const MALE_GIVEN: [&str; 56] = [
    "An", "Anh", "Bách", "Bình", "Chiến", "Chung", "Cường", "Dũng", "Duy", "Dương", "Đạt", "Đông",
    "Giang", "Hải", "Hào", "Hiếu", "Hòa", "Hoàng", "Hùng", "Huy", "Hưng", "Khang", "Khánh", "Khoa",
    "Kiên", "Lâm", "Linh", "Long", "Lộc", "Lợi", "Mạnh", "Minh", "Nam", "Nghĩa", "Nguyên", "Nhân",
    "Phong", "Phú", "Phúc", "Quân", "Quang", "Sơn", "Tài", "Tâm", "Tân", "Thái", "Thành", "Thắng",
    "Thịnh", "Tiến", "Toàn", "Trung", "Tuấn", "Tùng", "Việt", "Vinh",
];

const FEMALE_GIVEN: [&str; 56] = [
    "An",
    "Anh",
    "Ánh",
    "Bình",
    "Châu",
    "Chi",
    "Cúc",
    "Diễm",
    "Dung",
    "Duyên",
    "Đào",
    "Giang",
    "Hà",
    "Hạnh",
    "Hằng",
    "Hiền",
    "Hoa",
    "Hòa",
    "Hồng",
    "Huệ",
    "Hương",
    "Hường",
    "Khuê",
    "Lan",
    "Lê",
    "Liên",
    "Linh",
    "Loan",
    "Ly",
    "Mai",
    "My",
    "Nga",
    "Ngân",
    "Ngọc",
    "Nguyệt",
    "Nhàn",
    "Nhi",
    "Nhung",
    "Oanh",
    "Phương",
    "Phượng",
    "Quyên",
    "Quỳnh",
    "Tâm",
    "Thảo",
    "Thắm",
    "Thoa",
    "Thơm",
    "Thu",
    "Thúy",
    "Trang",
    "Trinh",
    "Tuyết",
    "Vân",
    "Xuân",
    "Yến",
];

/// A surname usual in a people; in the South `Hoàng` and `Vũ` are `Huỳnh` and `Võ`.
pub(crate) fn surname(random: &mut Random, ethnicity: &str, south: bool) -> &'static str {
    let minority = MINORITY_SURNAMES.iter().find(|(people, _)| *people == ethnicity);
    let list = minority.map_or(SURNAMES.as_slice(), |(_, list)| *list);
    match random.pick_weighted(list).copied().unwrap_or("Nguyễn") {
        "Hoàng" if south && minority.is_none() => "Huỳnh",
        "Vũ" if south => "Võ",
        surname => surname,
    }
}

/// Surname, middle name and given name. `Văn` and `Thị` go out of use with the generations.
pub(crate) fn full_name(
    random: &mut Random,
    surname: &str,
    sex: Sex,
    generation: Generation,
) -> String {
    let classic = match generation {
        Generation::Older => 600,
        Generation::Younger => 200,
    };
    let classic = random.per_mille(classic);
    let (middle, given) = match (sex, classic) {
        (Sex::Female, true) => ("Thị", random.pick(&FEMALE_GIVEN)),
        (Sex::Female, false) => (random.pick(&FEMALE_MIDDLES), random.pick(&FEMALE_GIVEN)),
        (_, true) => ("Văn", random.pick(&MALE_GIVEN)),
        (_, false) => (random.pick(&MALE_MIDDLES), random.pick(&MALE_GIVEN)),
    };
    // A name such as `Ngọc Ngọc` is drawn now and then, but no one bears it.
    let given = if middle == given { "An" } else { given };
    format!("{surname} {middle} {given}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::people::random::Purpose;

    /// Every Vietnamese letter has a composed form, so composed text has no combining marks.
    fn is_composed(text: &str) -> bool {
        !text.chars().any(|c| ('\u{300}'..='\u{36f}').contains(&c))
    }

    #[test]
    fn lists_are_composed() {
        let minorities = MINORITY_SURNAMES.iter().flat_map(|(_, list)| list.iter());
        let surnames = SURNAMES.iter().chain(minorities).map(|(surname, _)| *surname);
        let others =
            [&MALE_MIDDLES[..], &FEMALE_MIDDLES[..], &MALE_GIVEN[..], &FEMALE_GIVEN[..]].concat();
        for text in surnames.chain(others) {
            assert!(is_composed(text), "`{text}` has combining marks");
        }
    }

    #[test]
    fn surnames_follow_the_region_and_the_people() {
        let mut random = Random::new(1, Purpose::Household, 0);
        for _ in 0..1_000 {
            let southern = surname(&mut random, "Kinh", true);
            assert!(!["Hoàng", "Vũ"].contains(&southern));
            let northern = surname(&mut random, "Kinh", false);
            assert!(!["Huỳnh", "Võ"].contains(&northern));
        }
        assert_eq!(surname(&mut random, "Bru - Vân Kiều", false), "Hồ");
    }
}
