# awk -f source-for-suite.awk -v code=<VERSION_CODENAME> -v suite=<wanted> FILE   (*.list or *.sources)
function known(s) { return s == code || s ~ /^(oldstable|stable|testing|unstable|sid)$/ }
function has(list, word,  a, n, i) { n = split(list, a, /[ \t\n]+/); for (i = 1; i <= n; i++) if (a[i] == word) return 1; return 0 }
BEGIN { if (ARGV[1] ~ /\.sources$/) RS = "" }
RS != "" {                                                    # one-line format
  sub(/[ \t]*#.*/, ""); if (!match($0, /^[ \t]*deb[ \t]+(\[[^]]*\][ \t]*)?/)) next
  head = substr($0, 1, RLENGTH); rest = substr($0, RLENGTH + 1); n = split(rest, f, /[ \t]+/)
  if (n > 2 && known(f[2]) && has(rest, "main")) print head f[1] " " suite " main"
  next
}
{                                                             # deb822: every other field is kept, also an inline key
  n = split($0, line, "\n"); out = ""; name = ""; split("", field); ok = 0
  for (i = 1; i <= n; i++) {
    if (line[i] ~ /^#/) continue
    if (line[i] !~ /^[ \t]/) { name = tolower(line[i]); sub(/:.*/, "", name); v = line[i]; sub(/^[^:]*:/, "", v); field[name] = v }
    else field[name] = field[name] "\n" line[i]
    if (name !~ /^(types|suites|components|enabled)$/) out = out line[i] "\n"
  }
  m = split(field["suites"], s, /[ \t\n]+/); for (i = 1; i <= m; i++) if (known(s[i])) ok = 1
  if (ok && has(field["types"], "deb") && has(field["components"], "main") && tolower(field["enabled"]) !~ /no|false|off|0/)
    print "Types: deb\nSuites: " suite "\nComponents: main\n" out
}
