"""The safety table: what losses do at the edges, in lossjax and in other libraries."""
