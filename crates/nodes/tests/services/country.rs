//! Making and opening a country.

use nodes::people::Sample;
use nodes::{Country, CountryError, CountryOptions, NodeKind, Progress};
use tempfile::TempDir;

use crate::support::OPTIONS;

#[test]
fn progress_counts_to_the_end_and_then_indexes() {
    let dir = TempDir::new().unwrap();
    let mut steps = vec![];
    let country = Country::create(dir.path(), &OPTIONS, &mut |step| steps.push(step)).unwrap();
    assert_eq!(steps[0], Progress::People { done: 1_500, total: 1_500 });
    assert_eq!(steps[1..], NodeKind::ALL.map(Progress::Indexing));
    let mut files: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let mut expected = NodeKind::ALL.map(NodeKind::file_name);
    expected.sort();
    assert_eq!(files, expected);
    assert_eq!(country.people().count(), 1_500);
}

#[test]
fn a_country_opens_again_and_is_not_overwritten() {
    let dir = TempDir::new().unwrap();
    let made = Country::create(dir.path(), &OPTIONS, &mut |_| {}).unwrap();
    let opened = Country::open(dir.path()).unwrap();
    assert_eq!(opened.people(), made.people());
    let sample = |country: &Country| country.people().sample(Sample::Adult, 3).unwrap();
    assert_eq!(sample(&opened), sample(&made));

    let again = Country::create(dir.path(), &OPTIONS, &mut |_| {});
    assert!(matches!(again, Err(CountryError::Exists(_))));
    std::fs::remove_file(made.database(NodeKind::Insurance)).unwrap();
    assert!(Country::open(dir.path()).is_err());
}

#[test]
fn the_same_options_give_the_same_files() {
    let bytes = || {
        let dir = TempDir::new().unwrap();
        let options = CountryOptions { people: 200, ..OPTIONS };
        let country = Country::create(dir.path(), &options, &mut |_| {}).unwrap();
        NodeKind::ALL.map(|kind| std::fs::read(country.database(kind)).unwrap())
    };
    assert!(bytes() == bytes());
}

#[test]
fn a_country_has_someone_and_not_too_many() {
    let dir = TempDir::new().unwrap();
    for people in [0, 1_000_001] {
        let options = CountryOptions { people, seed: 1 };
        let error = Country::create(dir.path(), &options, &mut |_| {}).unwrap_err();
        assert_eq!(error.to_string(), format!("`people` is {people}, expected 1 to 1000000"));
    }
}
