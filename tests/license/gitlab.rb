# gitlab.rb GEM LICENSE PUBLIC_KEY [DATE]: imports a license as GitLab does, with the code
# of the gem gitlab-license found in the folder GEM (or installed, when that is ""), and
# prints what the gem makes of it as JSON. DATE: the server's date, default today. Exit
# code 1, with the gem's own words, when the license is refused.
gem, license, key, date = ARGV
abort "usage: gitlab.rb GEM LICENSE PUBLIC_KEY [DATE]" unless key
$LOAD_PATH.unshift(File.join(gem, "lib")) unless gem.empty?
require "json"
require "gitlab/license"

today = date ? Date.iso8601(date) : Date.today
Date.define_singleton_method(:today) { |*| today }

Gitlab::License.encryption_key = OpenSSL::PKey::RSA.new(File.read(key))
begin
  found = Gitlab::License.import(File.read(license))
  found.validate!
rescue Gitlab::License::Error, NameError, ArgumentError => e
  # NameError: the gem rescues a constant that there is not when the JSON is none.
  abort "REFUSED: #{e.class}: #{e.message.lines.first}"
end
puts JSON.dump(found.attributes.merge(
  "expired" => found.expired? ? true : false, "started" => found.starts_at <= today,
  "notify_admins" => found.notify_admins? ? true : false))
