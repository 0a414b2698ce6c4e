"""PostgreSQL: connections and tables, for whatever part of Velox keeps something there."""
