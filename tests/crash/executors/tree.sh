#!/bin/sh
# Starts children of every kind, notes all their process ids, and then does as it is told.
#
#     sh tree.sh FOLDER hold|leave
#
# Kinds: a plain child, one with a session of its own, and a daemon: orphaned, in its own session, with an
# empty environment. In a shell because that is quick: a test of overrunning must see the whole tree grow.

folder=$1
note='echo $$ > "$0/.$1" && mv "$0/.$1" "$0/$1"; exec sleep 600'

sh -c "$note" "$folder" child &
setsid sh -c "$note" "$folder" session &
(setsid env -i /bin/sh -c "$note" "$folder" daemon &)

while [ ! -e "$folder/child" ] || [ ! -e "$folder/session" ] || [ ! -e "$folder/daemon" ]; do sleep 0.02; done
echo $$ > "$folder/.main" && mv "$folder/.main" "$folder/main"
[ "$2" = leave ] || exec sleep 600
