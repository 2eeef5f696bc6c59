//! Making a country: five databases that agree with each other.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use prost::Message;
use rusqlite::Connection;

use crate::database::{self, StoreError};
use crate::people::{self, Household, PEOPLE_MAX, People};
use crate::transactions;
use crate::{NodeKind, civilservants, generaldata, insurance, population, socialsecurity};

/// People written between two commits. Large enough that committing costs nothing, small enough
/// that the pages waiting to be written stay in memory.
const PEOPLE_PER_COMMIT: u32 = 10_000;
/// Grows when the tables change, so that old files are not misread.
const FORMAT: &str = "1";
/// The source and the data set under which the general database holds the civil servants.
const SYNCHRONISED_SOURCE: &str = "G09";
const SYNCHRONISED_DATA_SET: &str = "civil-servants";

/// What a country is made from. The same options give the same country.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountryOptions {
    /// How many people, 1 to [`PEOPLE_MAX`].
    pub people: u32,
    /// What everything is drawn from.
    pub seed: u64,
}

/// How far the making of a country has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// People are being written.
    People {
        /// How many are written.
        done: u32,
        /// How many there will be.
        total: u32,
    },
    /// All people are written; the database of this node is being indexed.
    Indexing(NodeKind),
}

/// A country that could not be made or opened.
#[derive(Debug, thiserror::Error)]
pub enum CountryError {
    /// The options are out of range.
    #[error("`people` is {0}, expected 1 to {PEOPLE_MAX}")]
    People(u32),
    /// The folder has a database already.
    #[error("`{0}` exists")]
    Exists(PathBuf),
    /// The files are not those of a country, or of another version of this program.
    #[error("`{path}` is not a database of this version")]
    Format {
        /// The file.
        path: PathBuf,
    },
    /// The file system.
    #[error("write `{path}`")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// SQLite.
    #[error("database `{path}`: {message}")]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        message: String,
    },
}

/// Five databases in a folder, and the people they are about.
#[derive(Clone, Debug)]
pub struct Country {
    dir: PathBuf,
    people: People,
}

impl Country {
    /// Writes the five databases of a country into a folder, which is made if it is missing.
    ///
    /// The files appear under their names only when all are whole, so a country that was
    /// interrupted is not there and can simply be made again. Memory does not grow with the
    /// number of people.
    ///
    /// # Errors
    ///
    /// The options are out of range, the folder has a database already, or writing failed.
    pub fn create(
        dir: &Path,
        options: &CountryOptions,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, CountryError> {
        if !(1..=PEOPLE_MAX).contains(&options.people) {
            return Err(CountryError::People(options.people));
        }
        let country =
            Self { dir: dir.to_owned(), people: People::new(options.seed, options.people) };
        for kind in NodeKind::ALL {
            let path = country.database(kind);
            if path.exists() {
                return Err(CountryError::Exists(path));
            }
        }
        fs::create_dir_all(dir)
            .map_err(|source| CountryError::Io { path: dir.to_owned(), source })?;
        let mut files = Files::create(&country)?;
        country.write_people(&mut files, progress)?;
        files.finish(&country, progress)?;
        Ok(country)
    }

    /// Opens a country that was made before.
    ///
    /// # Errors
    ///
    /// A file is missing or was not made by this version.
    pub fn open(dir: &Path) -> Result<Self, CountryError> {
        let mut people = None;
        for kind in NodeKind::ALL {
            let path = dir.join(kind.file_name());
            let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
            let found = Connection::open_with_flags(&path, flags)
                .and_then(|file| read_people(&file, kind))
                .map_err(|error| failed(&path, error))?;
            let same = people.is_none_or(|people| Some(people) == found);
            people = found.filter(|_| same);
            if people.is_none() {
                return Err(CountryError::Format { path });
            }
        }
        let people = people.ok_or_else(|| CountryError::Format { path: dir.to_owned() })?;
        Ok(Self { dir: dir.to_owned(), people })
    }

    /// The people, whom one can ask for without opening a database.
    pub fn people(&self) -> &People {
        &self.people
    }

    /// The database file of a node.
    pub fn database(&self, kind: NodeKind) -> PathBuf {
        self.dir.join(kind.file_name())
    }

    fn write_people(
        &self,
        files: &mut Files,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), CountryError> {
        let total = self.people.count();
        let (mut done, mut committed) = (0, 0);
        for household in self.people.households() {
            files.write(self.people.seed(), &household)?;
            done += household.members.len() as u32;
            if done - committed >= PEOPLE_PER_COMMIT || done == total {
                files.each(|_, file| file.execute_batch("COMMIT; BEGIN"))?;
                committed = done;
                progress(Progress::People { done, total });
            }
        }
        Ok(())
    }
}

/// The people of a file of the right kind and format.
fn read_people(file: &Connection, kind: NodeKind) -> rusqlite::Result<Option<People>> {
    let made_for = database::meta(file, "kind")? == kind.name();
    if !made_for || database::meta(file, "format")? != FORMAT {
        return Ok(None);
    }
    let people = database::meta(file, "people")?.parse();
    let seed = database::meta(file, "seed")?.parse();
    Ok(people.ok().zip(seed.ok()).map(|(people, seed)| People::new(seed, people)))
}

/// The files of a country while they are being written.
struct Files {
    population: Connection,
    civil_servants: Connection,
    social_security: Connection,
    insurance: Connection,
    general_data: Connection,
    dir: PathBuf,
}

impl Files {
    fn create(country: &Country) -> Result<Self, CountryError> {
        let dir = country.dir.clone();
        let open = |kind| {
            let path = unfinished(&dir, kind);
            let _ = fs::remove_file(&path);
            create_file(&path, kind, &country.people).map_err(|error| failed(&path, error))
        };
        Ok(Self {
            population: open(NodeKind::Population)?,
            civil_servants: open(NodeKind::CivilServants)?,
            social_security: open(NodeKind::SocialSecurity)?,
            insurance: open(NodeKind::Insurance)?,
            general_data: open(NodeKind::GeneralData)?,
            dir,
        })
    }

    fn write(&self, seed: u64, household: &Household) -> Result<(), CountryError> {
        let write = || -> Result<(), StoreError> {
            for person in &household.members {
                let change = people::change(seed, person);
                population::store::insert(&self.population, person, change)?;
                let servant = people::civil_servant(seed, household, person);
                if let Some(record) = &servant {
                    civilservants::store::insert(&self.civil_servants, person.number, record)?;
                    let copy = generaldata::store::NewRecord {
                        source: SYNCHRONISED_SOURCE,
                        data_set: SYNCHRONISED_DATA_SET,
                        key: &record.personal_number,
                        version: 1,
                        deleted: false,
                        payload: &record.encode_to_vec(),
                    };
                    generaldata::store::store(&self.general_data, &copy)?;
                }
                if let Some(record) = people::insured(seed, household, person, servant.as_ref()) {
                    insurance::store::insert(&self.insurance, person, &record)?;
                }
                if let Some(record) = people::beneficiary(seed, household, person) {
                    socialsecurity::store::write(&self.social_security, person.number, &record)?;
                }
            }
            Ok(())
        };
        write().map_err(|error| failed(&self.dir, error))
    }

    /// Does the same with every file.
    fn each(
        &self,
        mut step: impl FnMut(NodeKind, &Connection) -> rusqlite::Result<()>,
    ) -> Result<(), CountryError> {
        for kind in NodeKind::ALL {
            let file = match kind {
                NodeKind::Population => &self.population,
                NodeKind::CivilServants => &self.civil_servants,
                NodeKind::SocialSecurity => &self.social_security,
                NodeKind::Insurance => &self.insurance,
                NodeKind::GeneralData => &self.general_data,
            };
            step(kind, file).map_err(|error| failed(&unfinished(&self.dir, kind), error))?;
        }
        Ok(())
    }

    /// Indexes the files and gives them their names.
    fn finish(
        self,
        country: &Country,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), CountryError> {
        self.each(|kind, file| {
            progress(Progress::Indexing(kind));
            file.execute_batch(indexes(kind))?;
            file.execute_batch("COMMIT; ANALYZE")
        })?;
        let dir = self.dir.clone();
        drop(self);
        for kind in NodeKind::ALL {
            let (from, to) = (unfinished(&dir, kind), country.database(kind));
            let rename = fs::File::open(&from)
                .and_then(|file| file.sync_all())
                .and_then(|()| fs::rename(&from, &to));
            rename.map_err(|source| CountryError::Io { path: to, source })?;
        }
        Ok(())
    }
}

/// Makes an empty file with a transaction open. Nothing is lost by leaving out the journal: a
/// file that breaks off is thrown away.
fn create_file(path: &Path, kind: NodeKind, people: &People) -> rusqlite::Result<Connection> {
    let file = Connection::open(path)?;
    file.execute_batch(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE; \
         PRAGMA cache_size = -16384; \
         CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;",
    )?;
    let facts = [
        ("kind", kind.name().to_owned()),
        ("format", FORMAT.to_owned()),
        ("people", people.count().to_string()),
        ("seed", people.seed().to_string()),
    ];
    for (name, value) in facts {
        file.execute("INSERT INTO meta (name, value) VALUES (?1, ?2)", [name, value.as_str()])?;
    }
    file.execute_batch(tables(kind))?;
    if matches!(kind, NodeKind::CivilServants | NodeKind::SocialSecurity) {
        file.execute_batch(transactions::TABLE)?;
    }
    file.execute_batch("BEGIN")?;
    Ok(file)
}

fn tables(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::Population => population::store::TABLES,
        NodeKind::CivilServants => civilservants::store::TABLES,
        NodeKind::SocialSecurity => socialsecurity::store::TABLES,
        NodeKind::Insurance => insurance::store::TABLES,
        NodeKind::GeneralData => generaldata::store::TABLES,
    }
}

/// Large tables are indexed at the end, which is much faster than row by row.
fn indexes(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::Population => population::store::INDEXES,
        NodeKind::Insurance => insurance::store::INDEXES,
        NodeKind::CivilServants | NodeKind::SocialSecurity | NodeKind::GeneralData => "",
    }
}

fn unfinished(dir: &Path, kind: NodeKind) -> PathBuf {
    dir.join(format!("{}.unfinished", kind.file_name()))
}

fn failed(path: &Path, error: impl std::fmt::Display) -> CountryError {
    CountryError::Database { path: path.to_owned(), message: error.to_string() }
}
