# shellcheck shell=sh
# Runs inside the installed tree.
cp /tmp/guest/who.sh /usr/local/sbin/who-am-i
chmod 755 /usr/local/sbin/who-am-i
cat >/etc/systemd/system/who.service <<'UNIT'
[Unit]
Description=Says who this machine is, on its web page
After=ssh.service systemd-networkd.service
[Service]
ExecStart=/usr/local/sbin/who-am-i
Restart=on-failure
[Install]
WantedBy=multi-user.target
UNIT
systemctl -q enable who.service
