# test/perl/SharedData.pm: where the cases and vectors are that several repositories share.
package SharedData;

use strict;
use warnings FATAL => 'all';

use Exporter qw(import);
use File::Basename qw(dirname);
use File::Spec;

our @EXPORT_OK = qw(shared_data);

# shared_data(FOLDER): the whole set (SMART_FHIR_DATA, ../shared/data beside the repository), else
# the part of it that every clone has, in test/data/shared.
sub shared_data
{
	my ($folder) = @_;
	my $root = File::Spec->rel2abs(dirname(__FILE__) . '/../..');
	for my $data ($ENV{SMART_FHIR_DATA} // "$root/../shared/data", "$root/test/data/shared")
	{
		my @files = glob("$data/$folder/*");
		return "$data/$folder" if @files;
	}
	die "test/data/shared/$folder is missing\n";
}

1;
