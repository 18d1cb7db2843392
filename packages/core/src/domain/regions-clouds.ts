/**
 * Room: domain, data. Regions of the public clouds with the coordinates of the metropolitan area
 * that the provider names for them (its public documentation; no provider publishes exact sites),
 * and generic regions for networks of one's own. `kind|name|title|latitude|longitude`.
 *
 * I1: where two clouds use one name, the generic meaning comes first.
 */

export const CLOUD_REGIONS = `
generic|eu-west|Europe, west (Dublin)|53.35|-6.26
generic|eu-central|Europe, centre (Frankfurt)|50.11|8.68
generic|eu-north|Europe, north (Stockholm)|59.33|18.07
generic|eu-south|Europe, south (Milan)|45.46|9.19
generic|eu-east|Europe, east (Warsaw)|52.23|21.01
generic|us-east|North America, east (Ashburn)|39.04|-77.49
generic|us-central|North America, centre (Council Bluffs)|41.26|-95.86
generic|us-west|North America, west (San Jose)|37.34|-121.89
generic|us-south|North America, south (Dallas)|32.78|-96.80
generic|ca-central|Canada (Montreal)|45.50|-73.57
generic|sa-east|South America, east (Sao Paulo)|-23.55|-46.63
generic|sa-west|South America, west (Santiago)|-33.45|-70.67
generic|ap-northeast|Asia, north-east (Tokyo)|35.68|139.69
generic|ap-east|Asia, east (Hong Kong)|22.32|114.17
generic|ap-southeast|Asia, south-east (Singapore)|1.35|103.82
generic|ap-south|Asia, south (Mumbai)|19.08|72.88
generic|oceania|Oceania (Sydney)|-33.87|151.21
generic|me-central|Middle East (Dubai)|25.20|55.27
generic|af-south|Africa, south (Cape Town)|-33.92|18.42
generic|af-west|Africa, west (Lagos)|6.52|3.38
generic|af-north|Africa, north (Cairo)|30.04|31.24
aws|us-east-1|AWS N. Virginia|39.04|-77.49
aws|us-east-2|AWS Ohio|39.96|-83.00
aws|us-west-1|AWS N. California|37.35|-121.96
aws|us-west-2|AWS Oregon|45.84|-119.70
aws|us-gov-east-1|AWS GovCloud US-East|39.96|-83.00
aws|us-gov-west-1|AWS GovCloud US-West|45.52|-122.68
aws|ca-central-1|AWS Montreal|45.50|-73.57
aws|ca-west-1|AWS Calgary|51.05|-114.07
aws|mx-central-1|AWS Queretaro|20.59|-100.39
aws|sa-east-1|AWS Sao Paulo|-23.55|-46.63
aws|eu-west-1|AWS Ireland|53.35|-6.26
aws|eu-west-2|AWS London|51.51|-0.13
aws|eu-west-3|AWS Paris|48.86|2.35
aws|eu-central-1|AWS Frankfurt|50.11|8.68
aws|eu-central-2|AWS Zurich|47.38|8.54
aws|eu-north-1|AWS Stockholm|59.33|18.07
aws|eu-south-1|AWS Milan|45.46|9.19
aws|eu-south-2|AWS Zaragoza|41.65|-0.89
aws|il-central-1|AWS Tel Aviv|32.09|34.78
aws|me-south-1|AWS Bahrain|26.07|50.56
aws|me-central-1|AWS UAE|24.45|54.38
aws|af-south-1|AWS Cape Town|-33.92|18.42
aws|ap-east-1|AWS Hong Kong|22.32|114.17
aws|ap-east-2|AWS Taipei|25.03|121.57
aws|ap-south-1|AWS Mumbai|19.08|72.88
aws|ap-south-2|AWS Hyderabad|17.39|78.49
aws|ap-southeast-1|AWS Singapore|1.35|103.82
aws|ap-southeast-2|AWS Sydney|-33.87|151.21
aws|ap-southeast-3|AWS Jakarta|-6.21|106.85
aws|ap-southeast-4|AWS Melbourne|-37.81|144.96
aws|ap-southeast-5|AWS Kuala Lumpur|3.14|101.69
aws|ap-southeast-6|AWS Auckland|-36.85|174.76
aws|ap-southeast-7|AWS Bangkok|13.76|100.50
aws|ap-northeast-1|AWS Tokyo|35.68|139.69
aws|ap-northeast-2|AWS Seoul|37.57|126.98
aws|ap-northeast-3|AWS Osaka|34.69|135.50
aws|cn-north-1|AWS Beijing|39.90|116.41
aws|cn-northwest-1|AWS Ningxia|37.51|105.19
gcp|africa-south1|Google Cloud Johannesburg|-26.20|28.05
gcp|asia-east1|Google Cloud Changhua County|24.05|120.52
gcp|asia-east2|Google Cloud Hong Kong|22.32|114.17
gcp|asia-northeast1|Google Cloud Tokyo|35.68|139.69
gcp|asia-northeast2|Google Cloud Osaka|34.69|135.50
gcp|asia-northeast3|Google Cloud Seoul|37.57|126.98
gcp|asia-south1|Google Cloud Mumbai|19.08|72.88
gcp|asia-south2|Google Cloud Delhi|28.61|77.21
gcp|asia-southeast1|Google Cloud Singapore|1.35|103.82
gcp|asia-southeast2|Google Cloud Jakarta|-6.21|106.85
gcp|australia-southeast1|Google Cloud Sydney|-33.87|151.21
gcp|australia-southeast2|Google Cloud Melbourne|-37.81|144.96
gcp|europe-central2|Google Cloud Warsaw|52.23|21.01
gcp|europe-north1|Google Cloud Hamina|60.57|27.19
gcp|europe-north2|Google Cloud Stockholm|59.33|18.07
gcp|europe-southwest1|Google Cloud Madrid|40.42|-3.70
gcp|europe-west1|Google Cloud St. Ghislain|50.45|3.82
gcp|europe-west2|Google Cloud London|51.51|-0.13
gcp|europe-west3|Google Cloud Frankfurt|50.11|8.68
gcp|europe-west4|Google Cloud Eemshaven|53.43|6.83
gcp|europe-west6|Google Cloud Zurich|47.38|8.54
gcp|europe-west8|Google Cloud Milan|45.46|9.19
gcp|europe-west9|Google Cloud Paris|48.86|2.35
gcp|europe-west10|Google Cloud Berlin|52.52|13.40
gcp|europe-west12|Google Cloud Turin|45.07|7.69
gcp|me-central1|Google Cloud Doha|25.29|51.53
gcp|me-central2|Google Cloud Dammam|26.42|50.09
gcp|me-west1|Google Cloud Tel Aviv|32.09|34.78
gcp|northamerica-northeast1|Google Cloud Montreal|45.50|-73.57
gcp|northamerica-northeast2|Google Cloud Toronto|43.65|-79.38
gcp|northamerica-south1|Google Cloud Queretaro|20.59|-100.39
gcp|southamerica-east1|Google Cloud Osasco, Sao Paulo|-23.53|-46.79
gcp|southamerica-west1|Google Cloud Santiago|-33.45|-70.67
gcp|us-central1|Google Cloud Council Bluffs, Iowa|41.26|-95.86
gcp|us-east1|Google Cloud Moncks Corner, South Carolina|33.20|-80.01
gcp|us-east4|Google Cloud Ashburn, Virginia|39.04|-77.49
gcp|us-east5|Google Cloud Columbus, Ohio|39.96|-83.00
gcp|us-south1|Google Cloud Dallas|32.78|-96.80
gcp|us-west1|Google Cloud The Dalles, Oregon|45.59|-121.18
gcp|us-west2|Google Cloud Los Angeles|34.05|-118.24
gcp|us-west3|Google Cloud Salt Lake City|40.76|-111.89
gcp|us-west4|Google Cloud Las Vegas|36.17|-115.14
azure|eastus|Azure East US (Virginia)|37.37|-79.82
azure|eastus2|Azure East US 2 (Virginia)|36.67|-78.39
azure|centralus|Azure Central US (Iowa)|41.59|-93.62
azure|northcentralus|Azure North Central US (Illinois)|41.88|-87.63
azure|southcentralus|Azure South Central US (Texas)|29.42|-98.49
azure|westcentralus|Azure West Central US (Wyoming)|41.14|-104.82
azure|westus|Azure West US (California)|37.78|-122.42
azure|westus2|Azure West US 2 (Washington)|47.23|-119.85
azure|westus3|Azure West US 3 (Phoenix)|33.45|-112.07
azure|canadacentral|Azure Canada Central (Toronto)|43.65|-79.38
azure|canadaeast|Azure Canada East (Quebec City)|46.82|-71.22
azure|mexicocentral|Azure Mexico Central (Queretaro)|20.59|-100.39
azure|brazilsouth|Azure Brazil South (Sao Paulo)|-23.55|-46.63
azure|brazilsoutheast|Azure Brazil Southeast (Rio de Janeiro)|-22.91|-43.17
azure|chilecentral|Azure Chile Central (Santiago)|-33.45|-70.67
azure|northeurope|Azure North Europe (Ireland)|53.35|-6.26
azure|westeurope|Azure West Europe (Netherlands)|52.37|4.90
azure|uksouth|Azure UK South (London)|51.51|-0.13
azure|ukwest|Azure UK West (Cardiff)|51.48|-3.18
azure|francecentral|Azure France Central (Paris)|48.86|2.35
azure|francesouth|Azure France South (Marseille)|43.30|5.37
azure|germanywestcentral|Azure Germany West Central (Frankfurt)|50.11|8.68
azure|germanynorth|Azure Germany North (Berlin)|52.52|13.40
azure|switzerlandnorth|Azure Switzerland North (Zurich)|47.38|8.54
azure|switzerlandwest|Azure Switzerland West (Geneva)|46.20|6.14
azure|norwayeast|Azure Norway East (Oslo)|59.91|10.75
azure|norwaywest|Azure Norway West (Stavanger)|58.97|5.73
azure|swedencentral|Azure Sweden Central (Gavle)|60.67|17.14
azure|polandcentral|Azure Poland Central (Warsaw)|52.23|21.01
azure|austriaeast|Azure Austria East (Vienna)|48.21|16.37
azure|belgiumcentral|Azure Belgium Central (Brussels)|50.85|4.35
azure|italynorth|Azure Italy North (Milan)|45.46|9.19
azure|spaincentral|Azure Spain Central (Madrid)|40.42|-3.70
azure|israelcentral|Azure Israel Central (Tel Aviv)|32.09|34.78
azure|qatarcentral|Azure Qatar Central (Doha)|25.29|51.53
azure|uaenorth|Azure UAE North (Dubai)|25.20|55.27
azure|uaecentral|Azure UAE Central (Abu Dhabi)|24.45|54.38
azure|southafricanorth|Azure South Africa North (Johannesburg)|-26.20|28.05
azure|southafricawest|Azure South Africa West (Cape Town)|-33.92|18.42
azure|eastasia|Azure East Asia (Hong Kong)|22.32|114.17
azure|southeastasia|Azure Southeast Asia (Singapore)|1.35|103.82
azure|indonesiacentral|Azure Indonesia Central (Jakarta)|-6.21|106.85
azure|malaysiawest|Azure Malaysia West (Kuala Lumpur)|3.14|101.69
azure|japaneast|Azure Japan East (Tokyo)|35.68|139.69
azure|japanwest|Azure Japan West (Osaka)|34.69|135.50
azure|koreacentral|Azure Korea Central (Seoul)|37.57|126.98
azure|koreasouth|Azure Korea South (Busan)|35.18|129.08
azure|centralindia|Azure Central India (Pune)|18.52|73.86
azure|southindia|Azure South India (Chennai)|13.08|80.27
azure|westindia|Azure West India (Mumbai)|19.08|72.88
azure|australiaeast|Azure Australia East (Sydney)|-33.87|151.21
azure|australiasoutheast|Azure Australia Southeast (Melbourne)|-37.81|144.96
azure|australiacentral|Azure Australia Central (Canberra)|-35.28|149.13
azure|newzealandnorth|Azure New Zealand North (Auckland)|-36.85|174.76
azure|chinanorth|Azure China North (Beijing)|39.90|116.41
azure|chinaeast|Azure China East (Shanghai)|31.23|121.47
`;
