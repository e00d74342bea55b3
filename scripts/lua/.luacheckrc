-- Read by `make lint-lua`, which checks every script as the server sees it: with
-- its prologue and its includes. Line lengths are checked in the files themselves.
std = "lua51"
read_globals = {"redis", "KEYS", "ARGV"}
max_line_length = 100
