#!/bin/sh
# apt-root.sh redis|nats|prometheus|faketime|zsh|fish DIR: unpacks that server or shell, or the library that sets a program's clock wrong, into DIR, by the machine's own apt. No root rights, nothing of the system changed.
set -u; export LC_ALL=C; . /etc/os-release; DIR=$2; R=$DIR.tmp$$; HERE=$(dirname "$0"); trap 'rm -rf "$R"' EXIT; trap 'exit 130' INT TERM HUP
view() { # view NAME: a private apt state in $V
  V=$R/$1; mkdir -p "$V/lists/partial" "$V/cache/archives/partial" "$V/parts"; : > "$V/none.list"
  cat > "$V/apt.conf" <<C
Dir::State "$V"; Dir::State::lists "$V/lists"; Dir::State::status "/var/lib/dpkg/status"; Dir::Cache "$V/cache"; Dir::Log "$V";
APT::Sandbox::User "root"; Debug::NoLocking "true"; Acquire::Languages "none"; Acquire::Retries "2"; Acquire::http::Timeout "20";
#clear APT::Update::Pre-Invoke; #clear APT::Update::Post-Invoke; #clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Invoke; #clear DPkg::Post-Invoke; #clear DPkg::Pre-Install-Pkgs;
C
}
derive() { # derive SUITE: this view sees one entry, the machine's Debian entry with another suite; so no pins are needed
  for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
    [ ! -r "$f" ] || awk -f "$HERE/source-for-suite.awk" -v code="${VERSION_CODENAME:-none}" -v suite="$1" "$f" > "$V/parts/${f##*/}"
  done
  printf '%s\n' "Dir::Etc::sourcelist \"$V/none.list\"; Dir::Etc::sourceparts \"$V/parts\";" \
    'Dir::Etc::preferences "/dev/null"; Dir::Etc::preferencesparts "/dev/null";' >> "$V/apt.conf"
}
apt() { apt-get -c "$V/apt.conf" -qq "$@"; }
download() { (cd "$V/cache/archives" && apt download "$@"); }
unpack() { rm -rf "$R/out"; mkdir "$R/out"; for d in "$V"/cache/archives/*.deb; do dpkg-deb -x "$d" "$R/out" || return 1; done; }
keep() { mv -T "$R/out" "$DIR" 2>/dev/null || [ -d "$DIR/usr" ]; exit; }   # atomic; a second run that comes late is content
libs() { find "$1" -name '*.so*' -printf '%h\n' | sort -u | paste -sd: -; }
if [ "$1" = redis ]; then
  view own; apt update
  apt -y --no-install-recommends --download-only install redis-server || download libjemalloc2 liblzf1 libatomic1   # what is missing here
  download redis-server redis-tools && unpack && LD_LIBRARY_PATH=$(libs "$R/out") "$R/out/usr/bin/redis-server" --version && keep; exit 1
fi
if [ "$1" = faketime ]; then
  view own; apt update; download libfaketime && unpack && keep; exit 1
fi
if [ "$1" = prometheus ]; then
  view own; apt update; download prometheus && unpack && "$R/out/usr/bin/promtool" --version && "$R/out/usr/bin/prometheus" --version && keep; exit 1
fi
if [ "$1" = zsh ]; then
  view own; apt update; download zsh zsh-common && unpack && "$R/out/bin/zsh" --version && keep; exit 1
fi
if [ "$1" = fish ]; then
  view own; apt update; download fish fish-common libpcre2-32-0 && unpack && LD_LIBRARY_PATH=$(libs "$R/out") "$R/out/usr/bin/fish" --version && keep; exit 1
fi
for suite in testing stable own; do
  view "$suite"; [ "$suite" = own ] || derive "$suite"
  apt update; download nats-server && unpack || continue
  v=$("$R/out/usr/sbin/nats-server" --version | sed 's/.*v//')
  if [ -n "$v" ] && dpkg --compare-versions "$v" ge 2.10.0; then echo "nats-server $v from $suite"; keep; fi
  echo "nats-server '$v' from $suite cannot be used here" >&2
done
echo "no nats-server >= 2.10 found: set NATS_SERVER_BIN or NATS_URL" >&2; exit 1
