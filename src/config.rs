//! Configuration: what was typed (`config::file`), and what it means (`Settings`).
