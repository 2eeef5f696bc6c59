//! Configuration folder to revision to snapshot; reload; admin API.
