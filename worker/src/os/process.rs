//! How processes start and end.
