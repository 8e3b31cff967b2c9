//! The `poolmap` command line as a library.
