"""The database: what is stored (`schema`), how it is reached (`engine`), how it has grown (`migrations`)."""
